# SPDX-License-Identifier: Apache-2.0
"""pkcs11-tool: its lists, its own test, every mechanism with signatures that openssl verifies."""

import hashlib
import re
import unittest

from fixture import MODULE, ProgramsTest, main, provider

HASHES = ("SHA256", "SHA384", "SHA512")
# What stands before a hash in PKCS #1 v1.5 (RFC 8017 section 9.2, note 1).
DIGEST_INFO = {"SHA256": "3031300d060960864801650304020105000420",
               "SHA384": "3041300d060960864801650304020205000430",
               "SHA512": "3051300d060960864801650304020305000440"}


def digest(name, message):
    return hashlib.new(name, message).digest()


class Pkcs11ToolTest(ProgramsTest):
    NEEDS = ("pkcs11-tool",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.slots = {}

    def tool(self, *args, label=None, **kwargs):
        """pkcs11-tool with the module; with @label on the slot that has this key."""
        slot = ["--slot", self.slot(label)] if label else []
        return self.run_program("pkcs11-tool", "--module", MODULE, *slot, *args, **kwargs)

    def slot(self, label):
        """Ed25519 keys have a slot of their own, with the same token label."""
        if not self.slots:
            listed = self.tool("--list-token-slots").stdout
            for slot in re.findall(r"^Slot \d+ \((0x[0-9a-f]+)\)", listed, re.M):
                for name in re.findall(r"label: +(\S+)", self.tool("-O", "--slot", slot).stdout):
                    self.slots[name] = slot
        return self.slots[label]

    def sign(self, label, mechanism, message, *options):
        """The signature, or None; `self.said` is what the tool said."""
        data, made = self.home / "message", self.home / "signature"
        data.write_bytes(message)
        made.unlink(missing_ok=True)
        done = self.tool("--sign", "--id", self.token.keys[label].id.hex(), "--mechanism",
                         mechanism, "-i", data, "-o", made, *options, label=label)
        self.said = done.stdout + done.stderr
        if done.returncode != 0:
            return None
        return made.read_bytes()

    def assert_signed(self, signature):
        self.assertTrue(signature, f"{self.said}\n{self.agent.log()}")
        return signature


class TestLists(Pkcs11ToolTest):
    def test_slots(self):
        done = self.assert_done(self.tool("-L"), r"token label\s*: demo",
                                r"token manufacturer\s*: mtls-agent", rf"{self.token.serial}")
        self.assertNotIn("login required", done.stdout)

    def test_objects_without_login(self):
        for label in self.KEYS:
            with self.subTest(label):
                done = self.assert_done(self.tool("-O", label=label))
                for kind in ("Private Key", "Public Key", "Certificate"):
                    self.assertRegex(done.stdout, rf"{kind} Object(.*\n)(  .*\n)*?"
                                                  rf"  label: +{label}\n")

    def test_objects_by_kind(self):
        for kind, text in (("privkey", "Private Key"), ("pubkey", "Public Key"),
                           ("cert", "Certificate")):
            with self.subTest(kind):
                done = self.assert_done(self.tool("-O", "--type", kind, label="work"))
                self.assertEqual(set(re.findall(r"^(\w+(?: Key)?) Object", done.stdout, re.M)),
                                 {text})
                self.assertEqual(set(re.findall(r"label: +(\S+)", done.stdout)),
                                 set(self.KEYS) - {"ed"})

    def test_mechanisms(self):
        done = self.assert_done(self.tool("-M", label="work"), r"ECDSA, .*sign",
                                r"ECDSA-SHA256, .*sign", r"RSA-PKCS, .*sign",
                                r"SHA512-RSA-PKCS, .*sign", r"RSA-PKCS-PSS, .*sign",
                                r"SHA384-RSA-PKCS-PSS, .*sign", r"SHA256, digest")
        self.assertNotRegex(done.stdout, "keypairgen|generate|decrypt|unwrap|derive")
        self.assert_done(self.tool("-M", label="ed"), r"EDDSA, .*sign")

    def test_certificates_are_those_of_the_token(self):
        for label, key in self.token.keys.items():
            with self.subTest(label):
                out = self.home / "read.der"
                self.assert_done(self.tool("--read-object", "--type", "cert", "--id", key.id.hex(),
                                           "-o", out, label=label))
                self.assertEqual(out.read_bytes(), key.cert_der)

    def test_public_keys_are_those_of_the_token(self):
        for label in ("work", "rsa"):
            with self.subTest(label):
                key, out = self.token.keys[label], self.home / "read.der"
                self.assert_done(self.tool("--read-object", "--type", "pubkey", "--id",
                                           key.id.hex(), "-o", out, label=label))
                self.assertEqual(out.read_bytes(), key.spki)

    def test_a_private_key_is_not_given(self):
        stolen = self.home / "stolen"
        self.tool("--read-object", "--type", "privkey", "--id", "01", "-o", stolen, label="work")
        self.assertFalse(stolen.exists() and stolen.read_bytes())


class TestSlotOrder(provider.ProviderTest):
    """Whoever takes the first slot with the token's label must find more than Ed25519 keys."""

    def test_ed25519_first_in_the_agent(self):
        self.start(provider.FAKE_AGENT, self.socket,
                   *(f"{self.key(name)}:{self.cert(name)}:{name}" for name in ("ed25519", "p256")),
                   until=b"ready")
        done = provider.run("pkcs11-tool", "--module", MODULE, "-L", env=self.env())
        self.assertEqual(re.findall(r"token model +: (.*)", done.stdout.decode()),
                         ["mtls-agent", "mtls-agent EdDSA"])


class TestItsOwnTest(Pkcs11ToolTest):
    """With an RSA key it has a SHA-1 digest signed, which the agent does for nobody: one error."""

    WANTS_SHA1 = "RSA-PKCS:   ERR: C_Sign() returned CKR_DATA_INVALID (0x20)"

    def run_test(self, label):
        done = self.tool("--test", "--login", "--pin", "000000", label=label)
        self.assertIn("all 4 digest functions seem to work", done.stdout)
        self.assertRegex(done.stdout, r"C_GenerateRandom\(\):\n +seems to be OK")
        return done.stdout + done.stderr

    def test_with_an_rsa_key(self):
        said = self.run_test("work")
        self.assertEqual(said.count(self.WANTS_SHA1), 1, said)
        self.assertIn("\n1 errors\n", said)
        self.assertNotRegex(said.replace(self.WANTS_SHA1, ""), "(?i)err: |error: |failed|CKR_")

    def test_without(self):
        said = self.run_test("ed")
        self.assertIn("No errors", said)
        self.assertNotRegex(said, "(?i)err: |error: |failed|CKR_")


class TestDigestAndRandom(Pkcs11ToolTest):
    def test_digest(self):
        message = b"x" * 5000
        (self.home / "message").write_bytes(message)
        for name in HASHES:
            with self.subTest(name):
                self.assert_done(self.tool("--hash", "--mechanism", name, "-i",
                                           self.home / "message", "-o", self.home / "hash",
                                           label="work"))
                self.assertEqual((self.home / "hash").read_bytes(), digest(name, message))

    def test_random(self):
        made = []
        for _ in range(2):
            out = self.home / "random"
            self.assert_done(self.tool("--generate-random", "32", "-o", out, label="work"))
            made.append(out.read_bytes())
        self.assertEqual({len(text) for text in made}, {32})
        self.assertNotEqual(*made)


class TestSign(Pkcs11ToolTest):
    """Short messages take one C_Sign, long ones C_SignUpdate and C_SignFinal."""

    KEYS = {**Pkcs11ToolTest.KEYS, "p384": "EC:secp384r1"}
    MESSAGES = (b"short message", bytes(range(256)) * 20)
    PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")

    def test_ecdsa(self):
        for label in ("work", "p384"):
            for name in HASHES:
                with self.subTest(key=label, hash=name):
                    hashed = digest(name, b"message")
                    with self.assert_signs(label, "pkcs11-tool", count=1):
                        signature = self.assert_signed(self.sign(
                            label, "ECDSA", hashed, "--signature-format", "openssl"))
                    self.assert_verifies(label, hashed, signature, "pkeyutl")

    def test_ecdsa_that_hashes(self):
        for label in ("work", "p384"):
            for name in HASHES:
                for message in self.MESSAGES:
                    with self.subTest(key=label, hash=name, size=len(message)):
                        signature = self.assert_signed(self.sign(
                            label, f"ECDSA-{name}", message, "--signature-format", "openssl"))
                        self.assert_verifies(label, message, signature, "dgst", f"-{name}")

    def test_rsa(self):
        for name in HASHES:
            with self.subTest(name):
                hashed = digest(name, b"message")
                with self.assert_signs("rsa", "pkcs11-tool", count=1):
                    signature = self.assert_signed(self.sign(
                        "rsa", "RSA-PKCS", bytes.fromhex(DIGEST_INFO[name]) + hashed))
                self.assert_verifies("rsa", hashed, signature, "pkeyutl", "-pkeyopt",
                                     f"digest:{name}")

    def test_rsa_that_hashes(self):
        for name in HASHES:
            for message in self.MESSAGES:
                with self.subTest(hash=name, size=len(message)):
                    signature = self.assert_signed(self.sign("rsa", f"{name}-RSA-PKCS", message))
                    self.assert_verifies("rsa", message, signature, "dgst", f"-{name}")

    def test_rsa_pss(self):
        for name in HASHES:
            with self.subTest(name):
                hashed = digest(name, b"message")
                signature = self.assert_signed(self.sign("rsa", "RSA-PKCS-PSS", hashed,
                                                         "--hash-algorithm", name, "--mgf",
                                                         f"MGF1-{name}", "--salt-len", "-1"))
                self.assert_verifies("rsa", hashed, signature, "pkeyutl", "-pkeyopt",
                                     f"digest:{name}", "-pkeyopt", "rsa_padding_mode:pss",
                                     "-pkeyopt", "rsa_pss_saltlen:digest")

    def test_rsa_pss_that_hashes(self):
        for name in HASHES:
            for message in self.MESSAGES:
                with self.subTest(hash=name, size=len(message)):
                    signature = self.assert_signed(self.sign(
                        "rsa", f"{name}-RSA-PKCS-PSS", message, "--mgf", f"MGF1-{name}",
                        "--salt-len", "-1"))
                    self.assert_verifies("rsa", message, signature, "dgst", f"-{name}", *self.PSS)

    def test_the_module_verifies_too(self):
        for mechanism, label in (("SHA256-RSA-PKCS", "rsa"), ("ECDSA-SHA256", "work")):
            with self.subTest(mechanism):
                self.assert_signed(self.sign(label, mechanism, b"message"))
                args = ["--verify", "--id", self.token.keys[label].id.hex(), "--mechanism",
                        mechanism, "--signature-file", self.home / "signature", "-i"]
                self.assert_done(self.tool(*args, self.home / "message", label=label),
                                 "Signature is valid")
                (self.home / "other").write_bytes(b"other message")
                done = self.tool(*args, self.home / "other", label=label)
                self.assertNotIn("Signature is valid", done.stdout)


class TestRefusals(Pkcs11ToolTest):
    def test_a_digest_for_a_key_that_signs_tls_alone(self):
        with self.assert_refused("strict"):
            self.assertIsNone(self.sign("strict", "ECDSA", digest("SHA256", b"message")))
        self.assertRegex(self.said, "(?i)CKR_ACTION_PROHIBITED|0x1b")

    def test_eddsa_of_something_that_is_not_tls(self):
        with self.assert_refused("ed"):
            self.assertIsNone(self.sign("ed", "EDDSA", b"a letter"))
        self.assertRegex(self.said, "(?i)CKR_ACTION_PROHIBITED|0x1b")

    def test_the_token_cannot_be_written(self):
        for what, args in {"key": ("--keypairgen", "--key-type", "EC:prime256v1"),
                           "data": ("--write-object", self.cert_file("work"), "--type", "data",
                                    "--label", "new"),
                           "deletion": ("--delete-object", "--type", "cert", "--id", "01")}.items():
            with self.subTest(what):
                done = self.tool(*args, label="work")
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, "CKR_TOKEN_WRITE_PROTECTED|CKR_SESSION_READ_ONLY|"
                                              "CKR_FUNCTION_NOT_SUPPORTED|not supported")
        self.assert_done(self.tool("-O", label="work"), r"label: +work")


class TestPin(Pkcs11ToolTest):
    """The agent waits for a PIN: one typed into a program unlocks the token for all of them."""

    KEYS = {"work": "EC:prime256v1"}
    PIN = "ask"

    def test_wrong_then_right(self):
        hashed = digest("SHA256", b"message")
        self.assertIsNone(self.sign("work", "ECDSA", hashed))
        self.assertIn("CKR_USER_NOT_LOGGED_IN", self.said)
        self.assertIsNone(self.sign("work", "ECDSA", hashed, "--login", "--pin", "9999"))
        self.assertIn("CKR_PIN_INCORRECT", self.said)
        self.assert_signed(self.sign("work", "ECDSA", hashed, "--login", "--pin", self.token.pin))
        self.assert_signed(self.sign("work", "ECDSA", hashed))


class TestNoAgent(Pkcs11ToolTest):
    NOBODY = {"MTLS_AGENT_SOCK": "/nonexistent/agent.sock"}

    def test_a_list_without_an_agent_ends(self):
        done = self.tool("-L", env=self.NOBODY)
        self.assertNotIn("token label", done.stdout)
        self.assertGreaterEqual(done.returncode, 0, "killed by a signal")


@unittest.skipUnless(MODULE.endswith("mtls-agent-pkcs11.so"), "another module is under test")
class TestEdDSA(Pkcs11ToolTest):
    CHECKED = ("strict",)

    def test_with_digest_allowed(self):
        """A key that may sign anything signs any message."""
        with self.assert_signs("ed", "pkcs11-tool"):
            signature = self.assert_signed(self.sign("ed", "EDDSA", b"a letter"))
        self.assert_verifies("ed", b"a letter", signature, "pkeyutl", "-rawin")


if __name__ == "__main__":
    main()
