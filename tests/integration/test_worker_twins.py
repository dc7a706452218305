# SPDX-License-Identifier: Apache-2.0
"""One key on two tokens of one module: both sign, and each does the other's work when that is
locked, gone, or cannot."""

import os
import subprocess

import softhsm
import wire
from faults import FaultTest, FaultyToken, main
from harness import MTLS_BIN, poll_until
from wire import TokenState

KEY_ID = b"\x01"


class TwinTokens(FaultyToken):
    """Two tokens, "demo" and "other", with the same imported key "work"."""

    OTHER = "other"
    GENPKEY = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]

    def create(self):
        super().create()
        softhsm.run("softhsm2-util", "--init-token", "--free", "--label", self.OTHER, "--pin",
                    self.pin, "--so-pin", self.so_pin, env=self.environment)
        self.other_pin_file = self.dir / "other-pin"
        self.other_pin_file.write_text(self.pin + "\n")
        self.other_pin_file.chmod(0o600)
        private = self.dir / "work.pem"
        softhsm.run("openssl", "genpkey", "-algorithm", *self.GENPKEY, "-out", private)
        for label in (self.label, self.OTHER):
            softhsm.run("softhsm2-util", "--import", private, "--token", label, "--label", "work",
                        "--id", KEY_ID.hex(), "--pin", self.pin, env=self.environment)
        spki = softhsm.run("openssl", "pkey", "-in", private, "-pubout", "-outform", "DER")
        self.keys["work"] = softhsm.TokenKey("work", KEY_ID, spki)

    def config(self, **options):
        return super().config(**options) + \
            f"[token other]\nuri = pkcs11:token={self.OTHER}\npin = file:{self.other_pin_file}\n"

    def signed(self):
        """Signatures of each token since the last call."""
        files = [self.dir / f"ctl.signed-{label}" for label in (self.label, self.OTHER)]
        counts = [file.stat().st_size if file.exists() else 0 for file in files]
        for file in files:
            file.unlink(missing_ok=True)
        return counts


class RsaTwins(TwinTokens):
    GENPKEY = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]


class TestTwins(FaultTest):
    REQUESTS = 24

    def twins(self, **options):
        token = TwinTokens()
        self.addCleanup(token.remove)
        self.addCleanup(token.check)
        self.rules(token)
        agent = self.serve(token, ready=False, **options)
        agent.wait_keys(1)
        return token, agent

    def rules(self, token, *rules):
        token.rules("hardware", "count-signatures", "C_Sign delay 10", *rules)

    def assert_all_sign(self, agent, token):
        with agent.connect() as client:
            ids = [self.ask(client, token.keys["work"]) for _ in range(self.REQUESTS)]
            for request_id in ids:
                reply = client.wait(request_id)
                self.assertIsInstance(reply, wire.SignReply, reply)
        counts = token.signed()
        self.assertEqual(sum(counts), self.REQUESTS)
        return counts

    def mtls(self, agent, *args):
        done = subprocess.run([MTLS_BIN, *args], capture_output=True, text=True, timeout=30,
                              check=False,
                              env={**os.environ, "MTLS_AGENT_SOCK": str(agent.socket)})
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_both_sign(self):
        token, agent = self.twins()
        self.assertGreaterEqual(min(self.assert_all_sign(agent, token)), self.REQUESTS // 4)

    def test_one_after_the_other_is_in_turn(self):
        token, agent = self.twins()
        with agent.connect() as client:
            for _ in range(8):
                self.assert_signs(client, token.keys["work"])
        self.assertEqual(token.signed(), [4, 4])

    def test_touch_is_asked_of_the_token_that_signs(self):
        token, agent = self.twins()
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        named = set()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])  # it can be quick
            token.rules("hardware", "C_Sign delay 1500")
            for _ in range(2):
                self.assert_signs(client, token.keys["work"])
                named.add(watcher.event().text.split('"')[1])
                self.assertEqual(watcher.event().text, "done")
        self.assertEqual(named, {"demo", "other"})

    def test_key_of_a_locked_token_signs_on_the_other(self):
        token, agent = self.twins()
        self.mtls(agent, "lock", "demo")
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assertEqual(self.assert_all_sign(agent, token), [0, self.REQUESTS])
        self.mtls(agent, "lock", "other")
        with agent.connect() as client:
            self.assert_refused(wire.Code.LOCKED, self.assert_signs, client, token.keys["work"])

    def test_token_that_lacks_the_mechanism_is_stood_in_for(self):
        """Whichever of the two it is; what it can do it does."""
        for lacking, counts in (("demo", [0, 6]), ("other", [6, 0])):
            with self.subTest(lacking):
                token = RsaTwins()
                self.addCleanup(token.remove)
                self.addCleanup(token.check)
                self.rules(token, f"no-mechanism d {lacking}", f"no-mechanism 3 {lacking}")
                agent = self.serve(token, ready=False)
                agent.wait_keys(2)
                with agent.connect() as client:
                    for _ in range(6):
                        self.assert_signs(client, token.keys["work"], wire.RSA_PSS_SHA256)
                self.assertEqual(token.signed(), counts)

    def test_lock_under_load_fails_no_request(self):
        token, agent = self.twins()
        with agent.connect() as client:
            ids = [self.ask(client, token.keys["work"]) for _ in range(60)]
            self.mtls(agent, "lock", "other")
            replies = [client.wait(request_id) for request_id in ids]
        self.assertEqual([r for r in replies if not isinstance(r, wire.SignReply)], [])

    def test_removed_token_is_stood_in_for(self):
        token, agent = self.twins()
        for gone, counts in (("demo", [0, self.REQUESTS]), ("other", [self.REQUESTS, 0])):
            with self.subTest(gone):
                self.rules(token, f"removed {gone}")
                self.assertEqual(self.assert_all_sign(agent, token), counts)
        self.rules(token)
        poll_until(lambda: min(self.assert_all_sign(agent, token)) > 0, 10, "both sign again")

    def test_token_whose_pin_is_refused_is_stood_in_for(self):
        token = TwinTokens()
        self.addCleanup(token.remove)
        self.rules(token)
        token.set_pin_file("0000")
        agent = self.serve(token, ready=False)
        agent.wait_keys(1)
        self.assertEqual(self.assert_all_sign(agent, token), [0, self.REQUESTS])


if __name__ == "__main__":
    main()
