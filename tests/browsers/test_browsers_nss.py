# SPDX-License-Identifier: Apache-2.0
"""NSS with its own tools: the module in a database, what is on its token, and a TLS client."""

from fixture import MODULE, ProgramTest, main


class TestNss(ProgramTest):
    PROGRAMS = {"tstclnt": "libnss3-tools"}

    def setUp(self):
        super().setUp()
        self.database = self.nss_database(self.home / "nssdb")
        self.request = self.home / "request"
        self.request.write_text("GET / HTTP/1.0\r\n\r\n")

    def test_modutil_lists_the_token(self):
        # it calls every slot without a token an error, behind the list
        listed = self.run_program("modutil", "-dbdir", self.database, "-list", "mtls-agent").stdout
        self.assertIn(f"Library file: {MODULE}", listed)
        self.assertIn("Manufacturer: mtls-agent", listed)
        self.assertIn(f"Token Name: {self.token.label}", listed)
        self.assertIn(f"Token Serial Number: {self.token.serial}", listed)
        self.assertIn("Access: Write Protected", listed)
        self.assertIn("Login Type: Public (no login required)", listed)

    def test_modutil_removes_the_module(self):
        self.must_run("modutil", "-force", "-dbdir", self.database, "-delete", "mtls-agent")
        self.assertNotIn("mtls-agent", self.must_run("modutil", "-dbdir", self.database, "-list"))

    def test_certutil_lists_certificates(self):
        listed = self.must_run("certutil", "-L", "-d", self.database, "-h", "all")
        for label in self.KEYS:
            # u: NSS found the private key that belongs to it
            self.assertRegex(listed, rf"(?m)^{self.token.label}:{label} +u,u,u")

    def test_certutil_shows_a_certificate(self):
        for label in self.KEYS:
            shown = self.must_run("certutil", "-L", "-d", self.database, "-a", "-n",
                                  f"{self.token.label}:{label}")
            self.assertEqual(shown.replace("\r", "").split(),
                             self.token.keys[label].cert.decode().split())

    def test_certutil_lists_keys(self):
        listed = self.must_run("certutil", "-K", "-d", self.database, "-h", self.token.label)
        for label in self.KEYS:
            self.assertRegex(listed, rf"(?m)^< *\d+> +(ec|rsa) +[0-9a-f]+ +.*\b{label}$")

    def test_certutil_makes_no_key(self):
        """The token is write-protected, and the reason reaches the person."""
        noise = self.home / "noise"
        noise.write_bytes(bytes(2048))
        done = self.run_program("certutil", "-G", "-d", self.database, "-h", self.token.label,
                                "-k", "rsa", "-z", noise)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("SEC_ERROR_READ_ONLY", done.stderr)

    def tls_client(self, label, version="tls1.3"):
        return self.run_program("tstclnt", "-d", self.database, "-4", "-h", "localhost", "-p",
                                self.sites[label].port, "-n", f"{self.token.label}:{label}", "-V",
                                f"{version}:{version}", "-A", self.request)

    def test_handshake(self):
        for label in self.UNCHECKED:
            for version in ("1.2", "1.3"):
                with self.subTest(key=label, version=version):
                    self.mark()
                    done = self.tls_client(label, "tls" + version)
                    self.assertIn(f"CN={label}|TLSv{version}|", done.stdout, done.stderr)
                    self.assert_signed(label)
                    self.assert_few_round_trips()

    def test_refused_by_policy(self):
        done = self.tls_client("tls")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("CN=", done.stdout)
        self.assert_refused("tls")


if __name__ == "__main__":
    main()
