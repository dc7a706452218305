# SPDX-License-Identifier: Apache-2.0
"""Tokens and keys that are hard to tell apart, as mtls-agent.conf(5) says it under ALIKE: a name
that fits several is refused with the list of them, and nothing is guessed."""

import os
import subprocess
import tempfile

import harness
import wire
from cli_harness import NO_KEY, OK
from harness import Code, IntegrationTest, Kind, Refused, tls_messages


class AlikeTest(IntegrationTest):
    def mtls(self, *args):
        with tempfile.TemporaryDirectory(prefix="mtls-") as runtime:
            return subprocess.run(
                [harness.MTLS_BIN, *args], capture_output=True, text=True, timeout=60, check=False,
                stdin=subprocess.DEVNULL,
                env={"MTLS_AGENT_SOCK": str(self.the_agent.socket), "PATH": os.environ["PATH"],
                     "XDG_RUNTIME_DIR": runtime, "OPENSSL_MODULES": harness.PROVIDER_DIR})

    def serve(self, config, count=0):
        """Returns when @count keys can sign."""
        self.the_agent = self.agent("[agent]\naudit = off\n" + config)
        if count > 0:
            self.the_agent.wait_keys(count)

    def keys(self, selector=""):
        with self.the_agent.connect() as client:
            return client.keys(selector)

    def sign(self, key_hash):
        with self.the_agent.connect() as client:
            return client.sign(key_hash, wire.ECDSA_SHA256, Kind.TLS13,
                               tls_messages.certificate_verify())

    def assert_ambiguous(self, keys, *command):
        """Refused, and each of the keys is listed with what names it alone."""
        done = self.mtls(*command)
        self.assertEqual(done.returncode, NO_KEY, done.stdout)
        for key in keys:
            self.assertIn(f"sha256:{key.hash.hex()[:8]}", done.stderr)

    def assert_tests(self, selector):
        done = self.mtls("test", selector)
        self.assertEqual(done.returncode, OK, done.stderr)


class TestTokensOfOneLabel(AlikeTest):
    def setUp(self):
        self.tokens = [self.token(label="twin", pin=pin) for pin in ("1234", "5678")]
        self.made = [token.key("work") for token in self.tokens]
        self.sections = [token.config(f"softhsm{n}").replace(
            f"uri = pkcs11:token={token.label}", f"uri = pkcs11:serial={token.serial}")
            for n, token in enumerate(self.tokens)]
        self.serve("".join(self.sections), 2)

    def test_each_gets_its_own_pin_by_its_serial(self):
        states = {token.serial: token.state for token in self.the_agent.status().tokens}
        self.assertEqual(states, {token.serial: wire.TokenState.READY for token in self.tokens})
        for key in self.made:
            self.sign(key.hash)

    def test_key_names_are_ambiguous(self):
        self.assertEqual(len(self.keys("work")), 2)
        for command in (["test", "work"], ["cert", "work"], ["key-ref", "work"],
                        ["run", "-k", "work", "true"], ["test", "pkcs11:token=twin;object=work"]):
            with self.subTest(command=command):
                self.assert_ambiguous(self.keys(), *command)

    def test_hash_and_serial_are_not(self):
        for token, key in zip(self.tokens, self.made):
            self.assert_tests(f"sha256:{key.hash.hex()[:16]}")
            self.assert_tests(f"pkcs11:serial={token.serial};object=work")

    def test_unlock_is_refused_with_both_serials(self):
        with self.the_agent.connect() as client, self.assertRaises(Refused) as refused:
            client.unlock("1234", "twin")
        self.assertEqual(refused.exception.code, Code.AMBIGUOUS)
        for token in self.tokens:
            self.assertIn(f"twin (serial {token.serial}; ", refused.exception.text)

    def test_lock_is_for_both(self):
        with self.the_agent.connect() as client:
            client.lock("twin")
        self.the_agent.wait_for(lambda status: {token.state for token in status.tokens} ==
                                {wire.TokenState.LOCKED}, what="both are locked")

    def test_names_from_key_sections(self):
        sections = "".join(f"[key of{n}]\nuri = pkcs11:serial={token.serial}\n"
                           for n, token in enumerate(self.tokens))
        self.the_agent.reload("[agent]\naudit = off\n" + "".join(self.sections) + sections)
        self.assertEqual({key.name for key in self.keys()}, {"of0", "of1"})
        self.assert_tests("of0")

    def test_key_section_that_fits_both_names_both(self):
        self.the_agent.reload("[agent]\naudit = off\n" + "".join(self.sections) +
                              "[key any]\nuri = pkcs11:token=twin\n")
        self.assertEqual([key.name for key in self.keys()], ["any", "any"])
        self.assert_ambiguous(self.keys(), "test", "any")


class TestKeysOfOneId(AlikeTest):
    def setUp(self):
        self.the_token = self.token()
        self.made = [self.the_token.key(label, cert=False) for label in ("first", "second")]
        ck_id = self.made[0].id
        self.the_token.tool("--set-id", ck_id.hex(), "--id", self.made[1].id.hex(), "--type",
                            "privkey", login=True)
        self.the_token.tool("--set-id", ck_id.hex(), "--id", self.made[1].id.hex(), "--type",
                            "pubkey", login=True)
        for key in self.made:
            key.cert = self.the_token.ca.issue(harness.softhsm.pem_from_spki(key.spki),
                                               f"/CN={key.label}")
            self.the_token.write_cert(key, ck_id)
        self.serve(self.the_token.config(), 2)

    def test_each_has_its_own_certificate_and_signs(self):
        found = {key.name: key for key in self.keys()}
        self.assertEqual(set(found), {"first", "second"})
        for key in self.made:
            self.assertEqual(found[key.label].ck_id, self.made[0].id)
            self.assertEqual(found[key.label].certs[0], key.cert_der)
            self.assert_tests(key.label)

    def test_the_id_is_ambiguous(self):
        self.assert_ambiguous(self.keys(), "test", "pkcs11:id=%01")


class TestKeyWithoutCertificate(AlikeTest):
    def setUp(self):
        self.the_token = self.token()
        self.bare = self.the_token.key("bare", cert=False)

    def test_it_is_listed_and_signs(self):
        self.serve(self.the_token.config(), 1)
        (key,) = self.keys()
        self.assertEqual((key.name, key.certs), ("bare", []))
        self.assert_tests("bare")

    def test_what_needs_a_certificate_says_so(self):
        self.serve(self.the_token.config(), 1)
        for command in (["cert", "bare"], ["run", "-k", "bare", "true"]):
            with self.subTest(command=command):
                done = self.mtls(*command)
                self.assertNotEqual(done.returncode, OK)
                self.assertIn("certificate", done.stderr)

    def test_it_does_not_make_the_only_other_key_ambiguous(self):
        work = self.the_token.key("work")
        self.serve(self.the_token.config(), 2)
        done = self.mtls("run", "sh", "-c", 'cat "$MTLS_CERT"')
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertIn(work.cert.decode().strip().splitlines()[1], done.stdout)

    def test_configured_certificate_is_its_certificate(self):
        cert = self.the_token.dir / "bare.pem"
        cert.write_bytes(self.the_token.ca.issue(harness.softhsm.pem_from_spki(self.bare.spki),
                                                 "/CN=bare"))
        self.serve(self.the_token.config() +
                   f"[key bare]\nuri = pkcs11:object=bare\ncertificate = {cert}\n", 1)
        self.assertEqual(len(self.keys()[0].certs), 1)


class TestCertificateWithoutKey(AlikeTest):
    def setUp(self):
        self.the_token = self.token()
        self.the_token.key("work")
        self.lost = self.the_token.key("lost")
        for kind in ("privkey", "pubkey"):
            self.the_token.tool("--delete-object", "--type", kind, "--id", self.lost.id.hex(),
                                login=True)

    def test_it_is_no_key(self):
        self.serve(self.the_token.config(), 1)
        self.assertEqual([key.name for key in self.keys()], ["work"])
        with self.assertRaises(Refused) as refused:
            self.sign(self.lost.hash)
        self.assertEqual(refused.exception.code, Code.NO_KEY)

    def test_it_does_not_make_the_only_key_ambiguous(self):
        self.serve(self.the_token.config(), 1)
        self.assertEqual(self.mtls("run", "true").returncode, OK)

    def test_before_the_login_it_stands_for_a_key_that_may_come(self):
        self.serve(self.the_token.config(pin="ask"))
        self.assertEqual({key.name: key.state for key in self.keys()},
                         {"work": wire.KeyState.LOCKED, "lost": wire.KeyState.LOCKED})
        with self.the_agent.connect() as client:
            client.unlock("1234")
        self.assertEqual([key.name for key in self.keys()], ["work"])


if __name__ == "__main__":
    harness.main()
