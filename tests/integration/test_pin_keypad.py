# SPDX-License-Identifier: Apache-2.0
"""Readers with a keypad (CKF_PROTECTED_AUTHENTICATION_PATH): no PIN is sent, a person types it there."""

import time
import unittest

import wire
from faults import P11FAULT, main
from harness import Code
from test_pin_context import ContextTest
from wire import TokenState


def knows_keypads():
    return P11FAULT.exists() and b"pinpad-wait" in P11FAULT.read_bytes()


@unittest.skipUnless(knows_keypads(), "p11fault.so has no `pinpad` rule")
class KeypadTest(ContextTest):
    def keypad(self, *rules, typed=None, token=None, environment=True, **options):
        """A token whose reader has a keypad, on which @typed is typed; without, its PIN; nothing
        without @environment."""
        token = token or self.faulty_token()
        token.rules("pinpad", *rules)
        config, typed = token.config, token.pin if typed is None else typed
        if not environment:
            return self.locked(token, **options)
        token.config = lambda **some: config(**some).replace(
            "environment = P11FAULT_LOG",
            f"environment = P11FAULT_PIN={typed}\nenvironment = P11FAULT_LOG")
        return self.locked(token, **options)


class TestLogin(KeypadTest):
    def test_unlock(self):
        token, agent = self.keypad()
        with agent.connect() as watcher:
            watcher.subscribe(wire.TOKEN_CHANGED)
            code, said = self.ask(agent)
            self.assertEqual(code, 0, said)
            self.assertIn("keypad", watcher.event().text)
            self.assert_signs(watcher, token.keys["work"])
        self.assertEqual(self.pinentry.dialogs, [])
        self.assertEqual(token.calls("C_Login"), 1)

    def test_person_is_told_to_look_at_the_reader(self):
        token, agent = self.keypad("pinpad-wait 1000")
        with agent.connect() as watcher:
            watcher.subscribe(wire.WAITING)
            self.assertEqual(self.ask(agent)[0], 0)
            self.assertIn("on the keypad of the reader", watcher.event().text)
            self.assertEqual(watcher.event().text, "done")

    def test_what_was_locked_by_hand_is_asked_for(self):
        """There is no other way to give this PIN."""
        token, agent = self.keypad()
        self.assertEqual(self.ask(agent)[0], 0)
        with agent.connect() as client:
            client.lock()
            self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
            code, said = self.ask(agent)
            self.assertEqual(code, 0, said)
            self.assert_signs(client, token.keys["work"])

    def test_typed_pin_is_not_taken(self):
        token, agent = self.keypad()
        with agent.connect() as client:
            refusal = self.assert_refused(Code.PIN, client.unlock, token.pin)
        self.assertIn("mtls unlock --ask", refusal.text)
        self.assertEqual(token.calls("C_Login"), 0)

    def test_never_when_nobody_can_be_there(self):
        token, agent = self.keypad()
        code, said = self.ask(agent, env={})
        self.assertNotEqual(code, 0)
        self.assertIn("nobody can be there", said)
        self.assertEqual(token.calls("C_Login"), 0)

    def test_wrong_pin_is_asked_three_times_at_most(self):
        token, agent = self.keypad(typed="0000")
        code, said = self.ask(agent)
        self.assertNotEqual(code, 0)
        self.assertIn("refused", said)
        self.assertLessEqual(token.calls("C_Login"), 3)

    def test_nothing_is_typed(self):
        """The reader gives up by itself, or its cancel key is pressed."""
        token, agent = self.keypad(environment=False)
        code, said = self.ask(agent)
        self.assertNotEqual(code, 0)
        self.assertIn("no PIN was typed", said)
        code, said = self.ask(agent)
        self.assertIn("a moment ago", said)
        self.assertEqual(token.calls("C_Login"), 1)

    def test_last_try_is_not_asked_for_at_once(self):
        """The reader would just ask again; who waits is told, and asks for it."""
        token, agent = self.keypad(f"pin-tries {self.TRIES}", typed="0000")
        code, said = self.ask(agent)
        self.assertNotEqual(code, 0)
        self.assertIn("one last try is left", said)
        self.assertEqual(token.tries_left(), 1)

    def test_person_who_takes_longer_than_a_call_may(self):
        """The module's deadline is 2 s; a person's is a minute."""
        token, agent = self.keypad("pinpad-wait 3500")
        began = time.monotonic()
        code, said = self.ask(agent)
        self.assertEqual(code, 0, said)
        self.assertGreater(time.monotonic() - began, 3)
        self.assertEqual(self.module(agent).restarts, 0)

    def test_nothing_is_kept(self):
        _, agent = self.keypad(token_options="pin-cache = 1h\n")
        self.assertEqual(self.ask(agent)[0], 0)
        self.wait_keepers(agent, 0)


class TestSignature(KeypadTest):
    def test_each_is_typed_for(self):
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.key("consent", always_auth=True)
        token, agent = self.keypad(token=token)
        self.assertEqual(self.ask(agent)[0], 0)
        for _ in range(2):
            self.assertEqual(self.sign(agent, token.keys["consent"]), "signed")
        self.assertEqual(token.calls("C_Login"), 3)
        self.assertEqual(self.pinentry.dialogs, [])

    def test_other_requests_wait_for_who_types(self):
        """A token has one lock, and the module's deadline is shorter than a person's."""
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.key("consent", always_auth=True)
        token, agent = self.keypad("hardware", "pinpad-wait 3500", token=token)
        self.assertEqual(self.ask(agent)[0], 0)
        program = self.start_signing(agent, token.keys["consent"])
        token.wait_calls("C_Login", 2)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["plain"])
        self.assertEqual(program.communicate(timeout=30)[0], "signed\n")
        self.assertEqual(self.module(agent).restarts, 0)


if __name__ == "__main__":
    main()
