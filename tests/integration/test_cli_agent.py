# SPDX-License-Identifier: Apache-2.0
"""`mtls` with the real agent, a SoftHSM token and the real provider: what a person does, in order."""

import json
import subprocess
import unittest

import wire
from cli_harness import DEADLINE, FAILURE, LOCKED, NO_KEY, OK
from harness import AGENT_BIN, IntegrationTest, MTLS_BIN, PROVIDER_DIR, ServedTest, needs_no_sanitizer
from softhsm import pem_from_spki


class WithMtls:
    """Runs the command against `self.the_agent`."""

    def mtls(self, *args, data=None, **env):
        return subprocess.run(
            [MTLS_BIN, *map(str, args)], capture_output=True, text=True, timeout=DEADLINE,
            check=False, **({"input": data} if data is not None else {"stdin": subprocess.DEVNULL}),
            env={**self.the_agent.environment(), "MTLS_AGENT_SOCK": str(self.the_agent.socket),
                 "MTLS_AGENT_BIN": AGENT_BIN, "OPENSSL_MODULES": PROVIDER_DIR, **env})

    def succeed(self, *args, **kwargs):
        done = self.mtls(*args, **kwargs)
        self.assertEqual((done.returncode, done.stderr), (OK, ""), args)
        return done.stdout

    def fail_with(self, code, *args, **kwargs):
        done = self.mtls(*args, **kwargs)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"\Amtls: .*\n\Z")
        return done.stderr


class TestServed(WithMtls, ServedTest):
    KEYS = {"work": "EC:prime256v1", "backup": "rsa:2048"}

    def test_list(self):
        text = self.succeed("list")
        self.assertRegex(text, r"(?m)^work +EC P-256 +work +in \d+ days +demo +ready$")
        self.assertRegex(text, r"(?m)^backup +RSA 2048 +backup +in \d+ days +demo +ready$")

    def test_the_uri_in_the_list_names_the_key(self):
        for key in json.loads(self.succeed("list", "--json")):
            self.assertEqual(len(self.succeed("list", key["uri"]).splitlines()), 2, key["uri"])
            self.assertEqual(key["hash"], "sha256:" + self.key(key["name"]).hash.hex())

    def test_status(self):
        status = json.loads(self.succeed("status", "--json"))
        self.assertEqual(status["pid"], self.the_agent.pid)
        self.assertEqual([token["label"] for token in status["tokens"]], ["demo"])
        self.assertEqual(status["to_do"], [])

    def test_test(self):
        for name in self.KEYS:
            result = json.loads(self.succeed("test", name, "--all", "--json"))
            self.assertTrue(all(scheme["ok"] for scheme in result["schemes"]), result)

    def test_cert(self):
        self.assertEqual(self.succeed("cert", "work").split(), self.key().cert.decode().split())

    @needs_no_sanitizer
    def test_a_program_of_run_reads_the_public_key_from_the_reference(self):
        for name in self.KEYS:
            text = self.succeed("run", "--key", name, "--", "sh", "-c",
                                'openssl pkey -in "$MTLS_KEY" -pubout')
            self.assertEqual(text.encode(), pem_from_spki(self.key(name).spki))

    @needs_no_sanitizer
    def test_a_reference_by_name_works_in_a_shell_of_env(self):
        path = self.the_agent.dir / "by-name.pem"
        self.succeed("key-ref", "work", "--force", "-o", path)
        done = subprocess.run(
            ["sh", "-euc", f'eval "$("{MTLS_BIN}" env -k backup)"; openssl pkey -in "$1" -pubout',
             "sh", path], capture_output=True, timeout=DEADLINE, check=False,
            env={**self.the_agent.environment(), "MTLS_AGENT_SOCK": str(self.the_agent.socket),
                 "OPENSSL_MODULES": PROVIDER_DIR})
        self.assertEqual(done.stdout, pem_from_spki(self.key().spki), done.stderr)

    def test_a_certificate_request_is_refused(self):
        done = self.mtls("run", "-k", "work", "--", "sh", "-c",
                         'openssl req -new -subj /CN=x -key "$MTLS_KEY"')
        self.assertNotEqual(done.returncode, OK)
        self.assertNotIn("BEGIN", done.stdout)

    @needs_no_sanitizer
    def test_ordinary_keys_work_in_run(self):
        self.succeed("run", "-k", "work", "--", "sh", "-c",
                     "openssl ecparam -name prime256v1 -genkey -noout | "
                     "openssl req -new -x509 -subj /CN=x -key /dev/stdin -out /dev/null")

    def test_errors(self):
        self.fail_with(NO_KEY, "test", "nope")
        self.fail_with(NO_KEY, "list", "sha256:0123456789abcdef")
        self.fail_with(NO_KEY, "unlock", "nope", "--stdin", data="1234")
        self.fail_with(NO_KEY, "lock", "nope")

    def test_check_config(self):
        good = self.the_agent.config_file
        self.succeed("check-config", good)
        bad = self.the_agent.dir / "bad.conf"
        bad.write_text("[agent]\nnonsense = 1\n")
        done = self.mtls("check-config", bad)
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn(f"{bad}:2: unknown key", done.stderr)


class TestPin(WithMtls, IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.the_token = cls.class_token()
        cls.the_token.key("work")

    def setUp(self):
        self.the_agent = self.agent(self.the_token.config(pin="ask"))
        self.the_agent.wait_for(lambda status: status.tokens, what="the token")

    def test_unlock_use_lock(self):
        self.assertIn("waits for its PIN. Run: mtls unlock demo", self.succeed("status"))
        self.assertEqual(self.mtls("unlock", "--stdin", data=self.the_token.pin + "\n").stderr,
                         "mtls: token demo is unlocked\n")
        self.the_agent.wait_keys(1)
        self.succeed("test", "work")
        self.assertEqual(self.mtls("lock").returncode, OK)
        self.fail_with(LOCKED, "test", "work")

    def test_a_wrong_pin_is_told(self):
        self.assertIn("PIN", self.fail_with(LOCKED, "unlock", "demo", "--stdin", data="0000\n"))
        self.the_agent.wait_for(
            lambda status: status.tokens[0].state != wire.TokenState.READY, what="still locked")


if __name__ == "__main__":
    unittest.main(verbosity=2)
