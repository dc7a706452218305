# SPDX-License-Identifier: Apache-2.0
"""Keys in a TPM through tpm2-pkcs11: the signatures, the TPM's own count of wrong PINs, and a TPM
that goes and comes back.

Without a resource manager a TPM has room for one key at a time, so each key has a TPM of its own.
"""

import shutil
import subprocess
import time
import unittest

import swtpm
import tls_messages
import wire
from harness import BUILD_ROOT, Code, IntegrationTest, Kind, main
from wire import TokenState

PIN = "123456"
SCHEMES = {
    "EC:prime256v1": [wire.ECDSA_SHA256],
    "EC:secp384r1": [wire.ECDSA_SHA384],
    # The module does not list CKM_RSA_PKCS_PSS: the worker pads.
    "rsa:2048": [wire.RSA_PSS_SHA256, wire.RSA_PSS_SHA384, wire.RSA_PSS_SHA512],
}


@unittest.skipUnless(swtpm.IS_THERE, "needs swtpm and libtpm2_pkcs11")
class TpmTest(IntegrationTest):
    def tpm(self, kind="EC:prime256v1", **options):
        token = swtpm.TpmToken(pin=PIN, **options)
        self.addCleanup(token.remove)
        token.key("work", kind, cert=False)
        return token

    def serve(self, token, ready=True):
        agent = self.agent(token.config(module="tpm", timeout="10s"))
        if ready:
            agent.wait_keys()
        return agent

    def sign(self, client, token):
        return client.sign(token.keys["work"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())


class TestKeys(TpmTest):
    def test_each_kind_is_listed_and_signs(self):
        for kind, schemes in SCHEMES.items():
            with self.subTest(kind):
                token = self.tpm(kind)
                agent = self.serve(token)
                with agent.connect() as client:
                    self.assertEqual(client.keys()[0].schemes[:len(schemes)], schemes)
                    for scheme in schemes:
                        self.assert_signs(client, token.keys["work"], scheme)
                agent.stop()


@unittest.skipUnless(shutil.which("tpm2_getcap"), "needs tpm2-tools")
class TestTries(TpmTest):
    """TPM_PT_LOCKOUT_COUNTER: what a wrong PIN costs is the whole TPM's."""

    def test_wrong_pin_costs_one_try(self):
        token = self.tpm()
        self.assertEqual(token.tpm.failed_tries(), 0)
        token.set_pin_file("000000")
        agent = self.serve(token, ready=False)
        agent.wait_for(lambda status: any(t.state == TokenState.PIN_BAD for t in status.tokens))
        with agent.connect() as client:
            for _ in range(5):
                self.assert_refused(Code.PIN, self.sign, client, token)
        agent.stop()
        self.assertEqual(token.tpm.failed_tries(), 1)

    def test_right_pin_costs_none(self):
        token = self.tpm()
        agent = self.serve(token)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        agent.stop()
        self.assertEqual(token.tpm.failed_tries(), 0)


class TestVanishing(TpmTest):
    def assert_back_in_time(self, agent, token):
        since = time.monotonic()
        self.assertTrue(token.tpm.start())
        self.assert_signs_again(agent, token.keys["work"], since, 2)

    def test_tpm_that_returns_at_once(self):
        token = self.tpm()
        agent = self.serve(token)
        pid = agent.pid
        token.tpm.end()
        self.assert_back_in_time(agent, token)
        self.assertEqual(agent.pid, pid)

    def test_tpm_that_was_away_for_long(self):
        """So long that the pauses between starts have grown beyond the two seconds."""
        token = self.tpm()
        agent = self.serve(token)
        token.tpm.end()
        with agent.connect() as client:
            self.assert_refused(Code.BUSY, self.sign, client, token)
        agent.wait_for_log(r"next start in 4000 ms", 15)
        self.assert_back_in_time(agent, token)

    def test_tpm_that_was_not_there_at_the_start(self):
        token = self.tpm()
        token.tpm.end()
        agent = self.serve(token, ready=False)
        agent.wait_for_log(r"next start in 500 ms", 15)
        self.assertTrue(token.tpm.start())
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])


class TestNoFork(IntegrationTest):
    """A child that used the TPM's handles would break its parent's (authorization HMAC check)."""

    def test_worker_has_nothing_that_forks(self):
        imported = subprocess.run(["nm", "-D", "--undefined-only",
                                   BUILD_ROOT / "pkcs11/token-worker"], check=True, text=True,
                                  capture_output=True).stdout
        names = {line.split()[-1].partition("@")[0] for line in imported.splitlines()}
        self.assertIn("pthread_create", names)
        self.assertEqual(names & {"fork", "_Fork", "vfork", "clone", "posix_spawn", "posix_spawnp",
                                  "popen", "system", "daemon", "forkpty"}, set())


if __name__ == "__main__":
    main()
