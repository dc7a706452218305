# SPDX-License-Identifier: Apache-2.0
"""Java's own PKCS#11 provider: keytool, and an HTTPS client with the key store PKCS11."""

from pathlib import Path

from fixture import MODULE, ProgramTest, main

CLIENT = Path(__file__).resolve().with_name("MutualTls.java")


class TestJava(ProgramTest):
    PROGRAMS = {"javac": "default-jdk-headless"}
    KEYS = {**ProgramTest.KEYS, "tls-rsa": "rsa:2048"}

    def setUp(self):
        super().setUp()
        self.trusted = self.home / "trusted.pem"
        self.trusted.write_bytes(b"".join(site.ca.pem for site in self.sites.values()))

    def client(self, version, *labels):
        """What the servers said, one line each."""
        return self.must_run("java", CLIENT, MODULE, self.trusted, version,
                             *(self.sites[label].url for label in labels)).splitlines()

    def test_keytool_lists_the_keys(self):
        conf = self.home / "pkcs11.conf"
        conf.write_text(f"name = agent\nlibrary = {MODULE}\n")
        listed = self.must_run("keytool", "-list", "-storetype", "PKCS11", "-keystore", "NONE",
                               "-protected", "-addprovider", "SunPKCS11", "-providerarg", conf)
        for label in self.KEYS:
            self.assertRegex(listed, rf"(?m)^{label}, .*PrivateKeyEntry")
        self.assertEqual(self.signatures(), [])

    def assert_gets(self, label, version, **kinds):
        self.mark()
        (said,) = self.client(version, label)
        self.assertTrue(said.startswith(f"CN={label}|{version}|"), said)
        self.assert_signed(label, **kinds)
        self.assert_few_round_trips()

    def test_https(self):
        for label in self.UNCHECKED:
            for version in ("TLSv1.2", "TLSv1.3"):
                with self.subTest(key=label, version=version):
                    self.assert_gets(label, version)

    def test_ec_needs_no_permission(self):
        """Java has the token hash for ECDSA: the agent sees the message and that it is TLS."""
        self.assert_gets("tls", "TLSv1.2", kinds=["tls12"])
        self.assert_gets("tls", "TLSv1.3", kinds=["tls13"])

    def test_refused_by_policy(self):
        """RSA-PSS it hashes itself. An exception at once; the next key works in the program."""
        refused, done = self.client("TLSv1.3", "tls-rsa", "ec")
        self.assertRegex(refused, "^error .*(SSL|Provider|Signature)")
        self.assertTrue(done.startswith("CN=ec|"), done)


if __name__ == "__main__":
    main()
