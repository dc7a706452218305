# SPDX-License-Identifier: Apache-2.0
"""A PIN is tried once per time that somebody gave it, and the last tries are kept for a person."""

import os
import signal
import threading
import time

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind
from wire import KeyState, ModuleState, TokenState

TRIES = 3
REFUSED_PIN = "0000"


class PinTest(FaultTest):
    def counting_token(self, tries=TRIES, **kwargs):
        token = self.faulty_token(**kwargs)
        token.rules(f"pin-tries {TRIES}")
        token.tries_left(tries)
        return token

    def sign(self, client, key):
        return client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())

    def settled(self, agent, state):
        """The module is up and the token's login was decided."""
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        return self.wait_token(agent, lambda t: t.state == state)

    def assert_pin_refused(self, client, key):
        with self.assertRaises(wire.Refused) as caught:
            self.sign(client, key)
        self.assertIn(caught.exception.code, (Code.PIN, Code.LOCKED), caught.exception.text)
        return caught.exception


class TestWrongPinFromASource(PinTest):
    def refused(self, **options):
        """An agent whose source gave a wrong PIN once."""
        token = self.counting_token()
        token.set_pin_file(REFUSED_PIN)
        agent = self.serve(token, ready=False, **{"workers": 1, **options})
        self.settled(agent, TokenState.PIN_BAD)
        return token, agent

    def test_one_login_and_one_try(self):
        token, _ = self.refused()
        self.assertEqual(token.calls("C_Login"), 1)
        self.assertEqual(token.tries_left(), TRIES - 1)

    def test_one_login_however_many_workers(self):
        token, agent = self.refused(workers=4)
        with agent.connect() as client:
            self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.tries_left(), TRIES - 1)

    def test_requests_do_not_try_again(self):
        token, agent = self.refused()
        with agent.connect() as client:
            for _ in range(10):
                self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)

    def test_fresh_worker_does_not_try_again(self):
        token, agent = self.refused()
        (worker,) = agent.workers()
        os.kill(worker, signal.SIGKILL)
        self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
        with agent.connect() as client:
            self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)

    def test_status_says_what_to_do(self):
        _, agent = self.refused()
        text = self.token_status(agent).text
        self.assertIn("PIN", text)
        self.assertRegex(text, r"reload|mtls unlock")

    def test_message_tells_the_tries(self):
        """The token says that tries were lost, not how many are left (PKCS#11 has flags only)."""
        token = self.counting_token(tries=2)
        agent = self.serve(token, pin="ask", ready=False, workers=1)
        self.settled(agent, TokenState.LOCKED)
        with agent.connect() as client:
            refusal = self.assert_refused(Code.PIN, client.unlock, REFUSED_PIN)
        self.assertRegex(refusal.text, r"(?i)\b(one|last|1)\b.*\btr(y|ies)\b")

    def test_reload_gives_the_source_one_more_time(self):
        token, agent = self.refused()
        token.tries_left(TRIES)  # another program logged in meanwhile
        agent.reload()
        token.wait_calls("C_Login", 2)
        self.settled(agent, TokenState.PIN_BAD)
        with agent.connect() as client:
            self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 2)

    def test_broken_reload_gives_the_source_no_more_time(self):
        token, agent = self.refused()
        token.tries_left(TRIES)
        agent.reload(agent.config_file.read_text() + "[bogus]\n")
        agent.wait_for(lambda s: s.config_text)
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        with agent.connect() as client:
            self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)

    def test_reload_spends_no_try_when_they_are_low(self):
        token, agent = self.refused()
        for _ in range(3):
            agent.reload()
            self.wait_module(agent, lambda m: m.state == ModuleState.READY)
            with agent.connect() as client:
                self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)

    def test_unlock_by_a_person_works(self):
        token, agent = self.refused()
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 2)
        self.assertEqual(token.tries_left(), TRIES)

    def test_other_module_works(self):
        token, other = self.counting_token(), self.other_token()
        token.set_pin_file(REFUSED_PIN)
        agent = self.serve(token, other, ready=False)
        agent.wait_keys(1)
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])


class TestCorrectedSource(PinTest):
    def test_corrected_file_works_after_reload(self):
        token = self.counting_token()
        token.set_pin_file(REFUSED_PIN)
        agent = self.serve(token, ready=False, workers=1)
        self.settled(agent, TokenState.PIN_BAD)
        token.tries_left(TRIES)  # with tries low a person would be needed
        token.set_pin_file(token.pin)
        agent.reload()
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_uncorrected_file_is_not_watched(self):
        token = self.counting_token()
        token.set_pin_file(REFUSED_PIN)
        agent = self.serve(token, ready=False, workers=1)
        self.settled(agent, TokenState.PIN_BAD)
        token.set_pin_file(token.pin)
        time.sleep(1)  # what is observed is that nothing happens
        self.assertEqual(token.calls("C_Login"), 1)


class TestFewTriesLeft(PinTest):
    def assert_source_is_not_used(self, tries):
        token = self.counting_token(tries)
        agent = self.serve(token, ready=False, workers=1)
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        status = self.wait_token(agent, lambda t: t.text)
        self.assertNotEqual(status.state, TokenState.READY)
        with agent.connect() as client:
            self.assert_pin_refused(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 0)
        return token, agent

    def test_source_does_not_spend_the_last_try(self):
        self.assert_source_is_not_used(1)

    def test_source_does_not_spend_a_try_when_they_are_low(self):
        self.assert_source_is_not_used(2)

    def test_person_may_spend_the_last_try(self):
        token, agent = self.assert_source_is_not_used(1)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])

    def test_status_names_the_reason(self):
        _, agent = self.assert_source_is_not_used(1)
        text = self.token_status(agent).text
        self.assertRegex(text, r"tr(y|ies)")
        self.assertIn("mtls unlock", text)
        self.assertNotIn("reload", text)  # nothing is wrong with the source

    def test_blocked_token_is_not_asked(self):
        token = self.counting_token(tries=0)
        agent = self.serve(token, ready=False, workers=1)
        self.settled(agent, TokenState.PIN_BLOCKED)
        with agent.connect() as client:
            refusal = self.assert_pin_refused(client, token.keys["work"])
            self.assertRegex(refusal.text, r"block|locked|PUK|no tries")
        self.assertEqual(token.calls("C_Login"), 0)

    def test_blocked_and_locked_by_hand(self):
        """`mtls unlock` would not do."""
        token = self.counting_token(tries=1)
        agent = self.serve(token, pin="ask", ready=False, workers=1)
        self.settled(agent, TokenState.LOCKED)
        with agent.connect() as client:
            client.lock()
            self.assert_refused(Code.PIN, client.unlock, REFUSED_PIN)
            self.settled(agent, TokenState.PIN_BLOCKED)
            self.assert_pin_refused(client, token.keys["work"])

    def test_try_that_blocks_is_told(self):
        token = self.counting_token(tries=1)
        agent = self.serve(token, pin="ask", ready=False, workers=1)
        self.settled(agent, TokenState.LOCKED)
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, REFUSED_PIN)
            self.settled(agent, TokenState.PIN_BLOCKED)
            self.assert_refused(Code.PIN, client.unlock, token.pin)
        self.assertLessEqual(token.calls("C_Login"), 2)


class TestManyRequests(PinTest):
    def slow_source(self, token, pin):
        runs = token.dir / "runs"
        runs.touch()
        command = f"command:echo run >> {runs}; sleep 1; echo {pin}"
        return runs, command

    def twenty_clients(self, agent, key):
        """All ask at once; a list of "ok" and codes."""
        outcomes = []

        def ask():
            with agent.connect() as client:
                try:
                    self.sign(client, key)
                    outcomes.append("ok")
                except wire.Refused as refusal:
                    outcomes.append(refusal.code)
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def test_twenty_requests_share_one_run(self):
        token = self.counting_token()
        runs, command = self.slow_source(token, token.pin)
        agent = self.serve(token, ready=False, pin=command, workers=1, timeout="10s")
        self.wait_token(agent, lambda t: True)
        outcomes = self.twenty_clients(agent, token.keys["work"])
        self.assertEqual(outcomes, ["ok"] * 20)
        self.assertEqual(runs.read_text(), "run\n")
        self.assertEqual(token.calls("C_Login"), 1)

    def test_twenty_requests_share_one_refusal(self):
        token = self.counting_token()
        runs, command = self.slow_source(token, REFUSED_PIN)
        agent = self.serve(token, ready=False, pin=command, workers=1, timeout="10s")
        self.wait_token(agent, lambda t: True)
        outcomes = self.twenty_clients(agent, token.keys["work"])
        self.assertLessEqual(set(outcomes), {Code.PIN, Code.LOCKED})
        self.assertEqual(runs.read_text(), "run\n")
        self.assertEqual(token.tries_left(), TRIES - 1)


class TestChangedElsewhere(PinTest):
    def test_one_failure_then_a_person_is_needed(self):
        """The PIN was changed by another program; the file still has the old one."""
        token = self.counting_token()
        agent = self.serve(token, workers=1)
        logins = token.calls("C_Login")
        token.set_pin_file(REFUSED_PIN)
        for _ in range(3):
            agent.kill_workers()
            agent.wait_for(lambda s: s.modules[0].state == ModuleState.READY and agent.workers())
        self.settled(agent, TokenState.PIN_BAD)
        self.assertEqual(token.calls("C_Login") - logins, 1)
        with agent.connect() as client:
            self.assertEqual([k.state for k in client.keys()], [KeyState.LOCKED])


if __name__ == "__main__":
    main()
