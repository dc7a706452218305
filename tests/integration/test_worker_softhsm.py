# SPDX-License-Identifier: Apache-2.0
"""What SoftHSM itself does when its token goes, comes back, or is given a wrong PIN: without
p11fault.so between."""

import os
import subprocess
import time

import tls_messages
import wire
from harness import Code, IntegrationTest, Kind, MTLS_BIN, main
from wire import TokenState


class SoftHsmTest(IntegrationTest):
    def serve(self, token, ready=True, **options):
        agent = self.agent(token.config(timeout="5s", **options))
        if ready:
            agent.wait_keys(len(token.keys))
        return agent

    def served(self, **options):
        token = self.token()
        token.key()
        return token, self.serve(token, **options)

    def sign(self, client, token):
        return client.sign(token.keys["work"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())


class TestDirectoryMoved(SoftHsmTest):
    """Objects vanish, and the module stays broken until it is initialised anew."""

    def away(self, token):
        (token.dir / "tokens").rename(token.dir / "away")

    def back(self, token):
        (token.dir / "away").rename(token.dir / "tokens")

    def assert_back_in_time(self, agent, token):
        since = time.monotonic()
        self.back(token)
        self.assert_signs_again(agent, token.keys["work"], since, 2)

    def test_request_meanwhile_is_told_and_the_next_one_works(self):
        for workers in (1, 3):
            with self.subTest(workers=workers):
                token, agent = self.served(workers=workers)
                self.away(token)
                with agent.connect() as client:
                    with self.assertRaises(wire.Refused) as caught:
                        self.sign(client, token)
                self.assertIn(caught.exception.code, (Code.TOKEN_GONE, Code.BUSY),
                              caught.exception.text)
                self.assert_back_in_time(agent, token)

    def test_nobody_asked_meanwhile(self):
        token, agent = self.served(workers=1)
        self.away(token)
        time.sleep(1)
        self.assert_back_in_time(agent, token)

    def test_away_for_long(self):
        """So long that the agent has given up looking every other second."""
        token, agent = self.served(workers=1)
        self.away(token)
        with agent.connect() as client:
            with self.assertRaises(wire.Refused):
                self.sign(client, token)
            time.sleep(6)
            with self.assertRaises(wire.Refused):
                self.sign(client, token)
        self.assert_back_in_time(agent, token)

    def test_other_token_that_was_put_in_its_place_is_not_taken_for_it(self):
        token, agent = self.served(workers=1)
        self.away(token)
        other = self.token()
        other.key()
        os.rename(other.dir / "tokens", token.dir / "tokens")
        with agent.connect() as client:
            with self.assertRaises(wire.Refused) as caught:
                self.sign(client, token)
        self.assertIn(caught.exception.code, (Code.TOKEN_GONE, Code.NO_KEY, Code.BUSY))


class TestWrongPin(SoftHsmTest):
    """CKR_PIN_INCORRECT and CKF_USER_PIN_COUNT_LOW; never a last try, never a lock."""

    def mtls(self, agent, pin):
        return subprocess.run([MTLS_BIN, "unlock", "--stdin"], input=pin + "\n", text=True,
                              capture_output=True, timeout=30, check=False,
                              env={**os.environ, "MTLS_AGENT_SOCK": str(agent.socket)})

    def test_person_is_told_the_tries_and_may_try_again(self):
        token = self.token()
        token.key()
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        agent.wait_for(lambda status: any(t.state == TokenState.LOCKED for t in status.tokens))
        for _ in range(4):
            done = self.mtls(agent, "0000")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("few tries are left", done.stderr)
            self.assertNotIn("blocked", done.stderr)
        done = self.mtls(agent, token.pin)
        self.assertEqual(done.returncode, 0, done.stderr)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_source_is_asked_once_and_not_again_while_tries_are_low(self):
        token = self.token()
        token.key()
        token.set_pin_file("0000")
        agent = self.serve(token, ready=False, workers=1)
        agent.wait_for(lambda status: any(t.state == TokenState.PIN_BAD for t in status.tokens))
        token.set_pin_file(token.pin)
        agent.reload()
        agent.wait_for(lambda status: any("a person has to unlock" in t.text
                                          for t in status.tokens))
        self.assertEqual(self.mtls(agent, token.pin).returncode, 0)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])


if __name__ == "__main__":
    main()
