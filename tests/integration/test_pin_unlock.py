# SPDX-License-Identifier: Apache-2.0
"""`mtls unlock` and `mtls lock`, from the terminal to the token."""

import os
import signal
import subprocess

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind, MTLS_BIN, poll_until
from wire import KeyState, ModuleState, TokenState


class UnlockTest(FaultTest):
    def locked(self, *others):
        token = self.faulty_token()
        agent = self.serve(token, *others, ready=False, pin="ask", workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        return token, agent

    def sign(self, client, key):
        return client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())

    def mtls(self, agent, *args, **kwargs):
        return subprocess.run([MTLS_BIN, *args], env={**os.environ, "MTLS_AGENT_SOCK":
                              str(agent.socket)}, text=True, timeout=30, check=False,
                              **{"capture_output": True, "stdin": subprocess.DEVNULL, **kwargs})



class TestCommand(UnlockTest):
    def test_locked_key_says_what_to_do(self):
        token, agent = self.locked()
        with agent.connect() as client:
            refusal = self.assert_refused(Code.LOCKED, self.sign, client, token.keys["work"])
        self.assertIn("mtls unlock", refusal.text)

    def test_unlock_on_a_terminal(self):
        token, agent = self.locked()
        code, shown = self.mtls_on_terminal(agent, "unlock", typed=[token.pin])
        self.assertEqual(code, 0, shown)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_pin_is_not_echoed(self):
        token, agent = self.locked()
        _, shown = self.mtls_on_terminal(agent, "unlock", typed=[token.pin])
        self.assertNotIn(token.pin, shown)

    def test_prompt_names_the_token(self):
        token, agent = self.locked()
        _, shown = self.mtls_on_terminal(agent, "unlock", typed=[token.pin])
        self.assertIn(token.label, shown)

    def test_wrong_pin_on_a_terminal_is_tried_once(self):
        token, agent = self.locked()
        code, shown = self.mtls_on_terminal(agent, "unlock", typed=["9999"])
        self.assertNotEqual(code, 0)
        self.assertIn("PIN", shown)
        self.assertEqual(token.calls("C_Login"), 1)

    def test_unlock_from_a_pipe(self):
        token, agent = self.locked()
        done = self.mtls(agent, "unlock", "--stdin", stdin=None, input=token.pin + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_unlock_without_a_pin_at_hand(self):
        token, agent = self.locked()
        done = self.mtls(agent, "unlock")
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.strip())
        self.assertEqual(token.calls("C_Login"), 0)

    def test_unlock_of_an_unknown_token_names_the_known(self):
        token, agent = self.locked()
        done = self.mtls(agent, "unlock", "--stdin", "nosuch", stdin=None, input=token.pin + "\n")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nosuch", done.stderr)
        self.assertEqual(token.calls("C_Login"), 0)

    def test_lock(self):
        token, agent = self.locked()
        with agent.connect() as client:
            client.unlock(token.pin)
            done = self.mtls(agent, "lock")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_refused(Code.LOCKED, self.sign, client, token.keys["work"])


class TestUnlock(UnlockTest):
    def test_unlock_by_label_serial_and_uri(self):
        token, agent = self.locked()
        with agent.connect() as client:
            for selector in (token.label, token.serial, f"pkcs11:token={token.label}"):
                with self.subTest(selector):
                    client.unlock(token.pin, selector)
                    self.assert_signs(client, token.keys["work"])
                    client.lock(selector)

    def test_unlock_of_an_unlocked_token_costs_no_try(self):
        token, agent = self.locked()
        with agent.connect() as client:
            client.unlock(token.pin)
            try:
                client.unlock("9999")
            except wire.Refused:
                pass
            self.assert_signs(client, token.keys["work"])

    def test_unknown_token(self):
        _, agent = self.locked()
        with agent.connect() as client:
            self.assert_refused(Code.NO_KEY, client.unlock, "1234", "nosuch")

    def test_ambiguous_token_names_the_candidates(self):
        first = self.faulty_token()
        second = self.faulty_token(label="second")
        agent = self.agent(first.config(pin="ask", module="a") + second.config(pin="ask",
                                                                              module="b"))
        for label in ("demo", "second"):
            self.wait_token(agent, lambda t: True, label=label)
        with agent.connect() as client:
            refusal = self.assert_refused(Code.AMBIGUOUS, client.unlock, "1234")
        self.assertIn(f"demo (serial {first.serial}; ", refusal.text)
        self.assertIn(f"second (serial {second.serial}; ", refusal.text)
        self.assertEqual(first.calls("C_Login") + second.calls("C_Login"), 0)

    def test_one_card_through_two_modules(self):
        """The same serial and label twice: `module-name` tells which login is meant."""
        token = self.faulty_token()
        agent = self.agent(token.config(pin="ask", module="a") +
                           token.config(pin="ask", module="b"))
        poll_until(lambda: len([t for t in agent.status().tokens
                                if t.state == TokenState.LOCKED]) == 2, what="both modules")
        with agent.connect() as client:
            refusal = self.assert_refused(Code.AMBIGUOUS, client.unlock, token.pin, token.serial)
            self.assertIn("module-name=a", refusal.text)
            client.unlock(token.pin, f"pkcs11:serial={token.serial}?module-name=b")
        states = {t.module: t.state for t in agent.status().tokens}
        self.assertEqual(states, {"a": TokenState.LOCKED, "b": TokenState.READY})
        done = self.mtls(agent, "status")
        self.assertIn(f"mtls unlock 'pkcs11:token=demo;serial={token.serial}?module-name=a'",
                      done.stdout)
        done = self.mtls(agent, "unlock", "--stdin", stdin=None, input=token.pin + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({t.state for t in agent.status().tokens}, {TokenState.READY})

    def test_lock_is_felt_by_every_client(self):
        token, agent = self.locked()
        first, second = self.connect(agent), self.connect(agent)
        first.unlock(token.pin)
        self.assert_signs(second, token.keys["work"])
        first.lock()
        self.assert_refused(Code.LOCKED, self.sign, second, token.keys["work"])
        self.assertEqual([k.state for k in second.keys()], [KeyState.LOCKED])

    def test_lock_holds_against_the_configured_source(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        logins = token.calls("C_Login")
        with agent.connect() as client:
            client.lock()
            self.assert_refused(Code.LOCKED, self.sign, client, token.keys["work"])
            self.assertEqual(token.calls("C_Login"), logins)
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])

    def test_lock_of_several_workers(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=3)
        with agent.connect() as client:
            for _ in range(5):
                self.assert_signs(client, token.keys["work"])
            client.lock()
            for _ in range(10):
                self.assert_refused(Code.LOCKED, self.sign, client, token.keys["work"])

    def test_pin_that_was_typed_ends_with_its_worker(self):
        """Nobody keeps it: after a crash a person is asked, and nothing is tried before."""
        token, agent = self.locked()
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
            (worker,) = agent.workers()
            logins = token.calls("C_Login")
            os.kill(worker, signal.SIGKILL)
            self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
            self.assert_refused(Code.LOCKED, self.sign, client, token.keys["work"])
            self.assertEqual(token.calls("C_Login"), logins)
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])

    def test_unlock_is_an_event(self):
        token, agent = self.locked()
        watcher = self.connect(agent)
        watcher.subscribe(wire.TOKEN_CHANGED)
        with agent.connect() as client:
            client.unlock(token.pin)
        self.assertEqual(watcher.event().subject, token.label)

    def test_two_unlocks_at_once_are_both_answered(self):
        token, agent = self.locked()
        token.rules("C_Login delay 500")
        first, second = self.connect(agent), self.connect(agent)
        pipes = [os.pipe() for _ in range(2)]
        for (reader, writer), client in zip(pipes, (first, second)):
            os.write(writer, token.pin.encode())
            os.close(writer)
            client.send(wire.unlock(client.next_id()), [reader])
            os.close(reader)
        replies = [first.wait(1), second.wait(1)]
        self.assertTrue(any(isinstance(reply, wire.Done) for reply in replies), replies)
        self.assert_signs(first, token.keys["work"])


class TestAlwaysAuthenticate(FaultTest):
    def token_with_consent(self):
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.key("consent", always_auth=True)
        return token

    def test_one_context_login_for_each_signature(self):
        token = self.token_with_consent()
        agent = self.serve(token, workers=1)
        before = token.calls("C_Login")
        with agent.connect() as client:
            for _ in range(3):
                self.assert_signs(client, token.keys["consent"])
        self.assertEqual(token.calls("C_Login") - before, 3)

    def test_other_keys_need_none(self):
        token = self.token_with_consent()
        agent = self.serve(token, workers=1)
        before = token.calls("C_Login")
        with agent.connect() as client:
            self.assert_signs(client, token.keys["plain"])
        self.assertEqual(token.calls("C_Login"), before)

    def test_list_shows_it(self):
        token = self.token_with_consent()
        agent = self.serve(token, workers=1)
        with agent.connect() as client:
            self.assertEqual({k.label: k.always_authenticate for k in client.keys()},
                             {"plain": False, "consent": True})

    def test_without_a_source_nothing_is_tried(self):
        token = self.token_with_consent()
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_refused(Code.LOCKED, client.sign, token.keys["consent"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())
            self.assertEqual(token.calls("C_Login"), 1)
            self.assert_signs(client, token.keys["plain"])

    def test_wrong_context_pin_is_given_once(self):
        token = self.token_with_consent()
        agent = self.serve(token, workers=1)
        before = token.calls("C_Login")
        token.set_pin_file("9999")
        with agent.connect() as client:
            for _ in range(4):
                with self.assertRaises(wire.Refused):
                    client.sign(token.keys["consent"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                                tls_messages.certificate_verify())
            self.assertEqual(token.calls("C_Login") - before, 1)

    def test_source_without_a_pin_says_why(self):
        token = self.token_with_consent()
        agent = self.serve(token, workers=1)
        token.pin_file.chmod(0o644)
        with agent.connect() as client:
            refusal = self.assert_refused(Code.PIN, client.sign, token.keys["consent"].hash,
                                          wire.ECDSA_SHA256, Kind.TLS13,
                                          tls_messages.certificate_verify())
            self.assertIn("chmod 600", refusal.text)
            token.pin_file.chmod(0o600)
            self.assert_signs(client, token.keys["consent"])

    def test_wrong_context_pin_does_not_spoil_other_keys(self):
        token = self.token_with_consent()
        agent = self.serve(token, workers=1)
        token.set_pin_file("9999")
        with agent.connect() as client:
            with self.assertRaises(wire.Refused):
                client.sign(token.keys["consent"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                            tls_messages.certificate_verify())
            self.assert_signs(client, token.keys["plain"])


if __name__ == "__main__":
    main()
