# SPDX-License-Identifier: Apache-2.0
"""What the agent must do with any card, whichever module talks to it.

`CardRows` is mixed into a test class for each module: test_card_opensc.py, test_card_yubikey.py.
One pcscd and one card serve a class; between two tests the card is made as new.
"""

import os
import subprocess
import time

import tls_messages
import wire
from harness import MTLS_BIN, Code, KeyState, Kind, poll_until
from pcsc import GENERIC, CardTest
from wire import TokenState

SIGN_SCHEMES = {  # what TLS 1.3 allows, by the kind of key
    "EC:prime256v1": [wire.ECDSA_SHA256], "EC:secp384r1": [wire.ECDSA_SHA384],
    "rsa:2048": [wire.RSA_PSS_SHA256, wire.RSA_PSS_SHA384, wire.RSA_PSS_SHA512],
}


class AgentOnCard(CardTest):
    """A class's pcscd and card, an agent for each test."""

    READER = GENERIC
    YUBIKEY = ""
    POLLED = False
    KINDS = {"9a": "EC:prime256v1"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.the_pcscd = cls.class_pcscd([cls.READER], polled=cls.POLLED)
        cls.the_card = cls.class_card(cls.the_pcscd, keys=cls.KINDS, yubikey=cls.YUBIKEY)

    def setUp(self):
        self.the_pcscd.ensure_started([self.READER])
        self.the_card.set_pin_file(self.the_card.identity.pin)
        self.the_card.make_new()
        self.the_card.insert()

    def key(self, slot="9a"):
        return self.the_card.keys[slot]

    def serve(self, ready=True, card=None, **options):
        """An agent on the card. @options: of the module."""
        card = card or self.the_card
        agent = self.agent(card.config(**options), env=card.pcscd.environment)
        if ready:
            agent.wait_keys(len(card.keys))
        return agent

    def sign(self, client, slot="9a"):
        scheme = SIGN_SCHEMES[self.KINDS[slot]][0]
        self.assert_signs(client, self.key(slot), scheme)

    def ask(self, client, slot="9a", deadline_ms=0):
        """Sends a request. Return: a function that waits for a good signature."""
        scheme, content = SIGN_SCHEMES[self.KINDS[slot]][0], tls_messages.certificate_verify()
        request_id = client.next_id()
        client.send(wire.sign(request_id, self.key(slot).hash, scheme, Kind.TLS13, content,
                              deadline_ms))

        def finish():
            reply = client.wait(request_id)
            if isinstance(reply, wire.Error):
                raise wire.Refused(reply.id, reply.code, reply.text)
            self.assertTrue(tls_messages.is_signature(self.key(slot).spki, scheme, content,
                                                      reply.signature))
        return finish

    def wait_token(self, agent, state):
        return poll_until(lambda: any(t.state == state for t in agent.status().tokens),
                          what=lambda: f"a token {state.name}\n{agent.log()}")

    def assert_recovers(self, agent, slot="9a", deadline=2.0):
        """Signatures come again by themselves, so many seconds after the cause has gone."""
        refusals = []

        def sign():
            with agent.connect() as client:
                try:
                    self.sign(client, slot)
                    return True
                except wire.Refused as refusal:
                    refusals[:] = [refusal]
                    return False
        poll_until(sign, deadline, lambda: f"a signature: {refusals}\n{agent.log()}")


class CardRows(AgentOnCard):
    KINDS = {"9a": "EC:prime256v1", "9c": "rsa:2048", "9d": "EC:secp384r1", "9e": "rsa:2048"}

    def test_keys_are_listed_with_their_certificates(self):
        agent = self.serve()
        with agent.connect() as client:
            listed = {key.hash: key for key in client.keys()}
        self.assertEqual(set(listed), {key.hash for key in self.the_card.keys.values()})
        for slot, key in self.the_card.keys.items():
            self.assertEqual(listed[key.hash].certs, [key.cert_der])
            self.assertEqual(listed[key.hash].state, KeyState.READY)
            self.assertEqual(listed[key.hash].always_authenticate, slot == "9c")

    def test_each_key_signs_with_each_of_its_schemes(self):
        agent = self.serve()
        with agent.connect() as client:
            for slot, kind in self.KINDS.items():
                for scheme in SIGN_SCHEMES[kind]:
                    with self.subTest(slot, scheme=scheme):
                        before = self.the_card.status()["signatures"]
                        self.assert_signs(client, self.key(slot), scheme)
                        self.assertEqual(self.the_card.status()["signatures"], before + 1)

    def test_pkcs1_for_tls12(self):
        agent = self.serve()
        content = tls_messages.Tls12(self.the_card.ca, self.key("9e").cert_der).content()
        with agent.connect() as client:
            self.assert_signs(client, self.key("9e"), wire.RSA_PKCS1_SHA256, Kind.TLS12, content)

    def test_touches_at_once_have_their_time_each(self):
        """All are in the module, which makes one after the other; none alone is too slow."""
        agent = self.serve(timeout="2s")
        workers = agent.workers()
        self.addCleanup(self.the_card.delay, 0)
        self.the_card.delay(1)
        clients = [self.connect(agent) for _ in range(4)]
        for finish in [self.ask(client) for client in clients]:
            finish()
        self.assertEqual(agent.workers(), workers)

    def mtls_pin(self, agent, command, *given):
        return subprocess.run(
            [MTLS_BIN, "pin", command, "--stdin"], text=True, timeout=30, check=False,
            capture_output=True, input="".join(line + "\n" for line in given),
            env={**os.environ, "MTLS_AGENT_SOCK": str(agent.socket)})

    def locked(self):
        agent = self.serve(ready=False, pin="ask")
        agent.wait_for(lambda status: status.tokens, what="the card")
        return agent

    def test_pin_is_changed(self):
        agent = self.locked()
        done = self.mtls_pin(agent, "change", self.the_card.identity.pin, "654321")
        self.assertEqual(done.returncode, 0, done.stderr)
        with agent.connect() as client:
            client.unlock("654321")
            self.sign(client)

    def test_wrong_old_pin_costs_one_try(self):
        agent = self.locked()
        done = self.mtls_pin(agent, "change", "111111", "654321")
        self.assertIn("the PIN was refused", done.stderr)
        self.assertEqual(self.the_card.status()["tries"], self.the_card.identity.tries - 1)

    def test_what_the_module_cannot_unblock_costs_nothing(self):
        """ykcs11 would try the PUK as its management key, OpenSC knows no such login for PIV."""
        agent = self.locked()
        with agent.connect() as client:
            client.unlock(self.the_card.identity.pin)
            self.sign(client)
        before = self.the_card.status()
        done = self.mtls_pin(agent, "unblock", self.the_card.identity.puk, "654321")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nothing was tried", done.stderr)
        self.assertIn("unblock-pin", done.stderr)
        with agent.connect() as client:
            self.sign(client)  # nor the login
        after = self.the_card.status()
        self.assertEqual((after["tries"], after["puk_tries"]),
                         (before["tries"], before["puk_tries"]))

    def test_pin_goes_to_the_card_once_for_many_signatures(self):
        agent = self.serve()
        with agent.connect() as client:
            for _ in range(5):
                self.sign(client)
        self.assertEqual(self.the_card.status()["verifies"], 1)

    def test_unlock_with_a_pin_that_a_person_typed(self):
        agent = self.serve(ready=False, pin="ask")
        self.wait_token(agent, TokenState.LOCKED)
        self.assertEqual(self.the_card.status()["verifies"], 0)
        with agent.connect() as client:
            client.unlock(self.the_card.identity.pin)
            self.sign(client)
        self.assertEqual(self.the_card.status()["verifies"], 1)

    def test_wrong_pin_costs_exactly_one_try(self):
        self.the_card.set_pin_file("999999")
        agent = self.serve(ready=False)
        self.wait_token(agent, TokenState.PIN_BAD)
        with agent.connect() as client:
            for _ in range(3):
                with self.assertRaises(wire.Refused) as caught:
                    self.sign(client)
                self.assertIn(caught.exception.code, (Code.PIN, Code.LOCKED))
        status = self.the_card.status()
        self.assertEqual((status["verifies"], status["tries"]), (1, 2))

    def test_right_pin_after_a_wrong_one(self):
        self.the_card.set_pin_file("999999")
        agent = self.serve(ready=False)
        self.wait_token(agent, TokenState.PIN_BAD)
        with agent.connect() as client:
            client.unlock(self.the_card.identity.pin)
            self.sign(client)
        status = self.the_card.status()
        self.assertEqual((status["verifies"], status["tries"]), (2, 3))

    def test_pin_that_blocks(self):
        agent = self.serve(ready=False, pin="ask")
        self.wait_token(agent, TokenState.LOCKED)
        with agent.connect() as client:
            for _ in range(3):
                self.assert_refused(Code.PIN, client.unlock, "999999")
            self.assertEqual(self.the_card.status()["verifies"], 3)
            self.wait_token(agent, TokenState.PIN_BLOCKED)
            with self.assertRaises(wire.Refused):
                client.unlock(self.the_card.identity.pin)
        self.assertEqual(self.the_card.status()["tries"], 0)

    def test_last_try_is_not_spent_by_itself(self):
        self.the_card.tries(pin=1)
        agent = self.serve(ready=False)
        self.wait_token(agent, TokenState.PIN_BAD)
        self.assertEqual(self.the_card.status()["verifies"], 0)
        with agent.connect() as client:
            client.unlock(self.the_card.identity.pin)
            self.sign(client)
        self.assertEqual(self.the_card.status()["tries"], 3)

    def test_key_that_wants_its_pin_for_each_signature(self):
        agent = self.serve()
        with agent.connect() as client:
            for _ in range(3):
                before = self.the_card.status()["verifies"]
                self.sign(client, "9c")
                self.assertEqual(self.the_card.status()["verifies"], before + 1)
            self.sign(client)  # nobody was logged out by it

    def test_status_word_that_comes_once(self):
        """Another signature or an error for this request, and the next one works."""
        agent = self.serve()
        for word in (0x6982, 0x6F00, 0x6985, 0x6581):
            with self.subTest(f"{word:04X}"):
                self.the_card.status_words(word)
                with agent.connect() as client:
                    try:
                        self.sign(client)
                    except wire.Refused as refusal:
                        self.assertTrue(refusal.text)
                self.assertEqual(self.the_card.status()["status_words"], [])
                self.assert_recovers(agent)

    def test_status_word_that_stays_is_an_error(self):
        agent = self.serve()
        self.the_card.status_words(0x6F00, 50)
        with agent.connect() as client:
            with self.assertRaises(wire.Refused) as caught:
                self.sign(client)
        self.assertIn(caught.exception.code, (Code.INTERNAL, Code.TOKEN_GONE))
        self.the_card.status_words(0, 0)
        self.assert_recovers(agent)

    def test_link_cut_in_mid_sign(self):
        agent = self.serve()
        self.the_card.cut()
        with agent.connect() as client:
            with self.assertRaises(wire.Refused) as caught:
                self.sign(client)
        self.assertIn(caught.exception.code, (Code.INTERNAL, Code.TOKEN_GONE))
        self.the_card.wait_removed()
        self.the_card.insert()
        self.assert_recovers(agent)

    def test_slow_signature(self):
        """As with a touch: the core serves others meanwhile."""
        agent = self.serve()
        self.the_card.delay(1.0)
        with agent.connect() as client, agent.connect() as other:
            start = time.monotonic()
            finish = self.ask(client)
            self.the_card.wait_signing()
            other.status()
            self.assertLess(time.monotonic() - start, 0.9)
            finish()
            self.assertGreater(time.monotonic() - start, 1.0)
