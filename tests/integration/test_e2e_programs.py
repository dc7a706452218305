# SPDX-License-Identifier: Apache-2.0
"""Programs that were never written for tokens do mutual TLS with keys that stay on the token."""

import importlib.util
import shutil
import subprocess
import unittest

from e2e import E2ETest, SSL_CLIENT, main
from servers import Nginx, Postgres, free_port


class TestCurl(E2ETest):
    def test_curl(self):
        for way, label, version in self.combinations():
            done = way(label, "sh", "-c",
                       f'curl -sS --cacert {self.token.ca.path} --cert "$MTLS_CERT" '
                       f'--key "$MTLS_KEY" --tlsv{version} --tls-max {version} {self.nginx.url}')
            self.assert_verified(done, label, version)

    def test_certificate_and_key_in_one_file(self):
        both = self.token.dir / "both.pem"
        both.write_text(self.cert_file("work").read_text() + self.key_file("work").read_text())
        done = self.run_direct("work", "curl", "-sS", "--cacert", self.token.ca.path, "-E", both,
                               self.nginx.url)
        self.assert_verified(done, "work")

    def test_many_requests_over_one_connection_are_one_signature(self):
        before = len(self.agent.audit())
        done = self.run_direct("work", "curl", "-sS", "--cacert", self.token.ca.path, "--cert",
                               self.cert_file("work"), "--key", self.key_file("work"),
                               *[self.nginx.url] * 5)
        self.assert_verified(done, "work")
        self.assertEqual(len(self.agent.audit()) - before, 1)

    def test_without_a_certificate_the_server_refuses(self):
        """The server really asks: the other tests mean something."""
        done = self.run_direct("work", "curl", "-sS", "--cacert", self.token.ca.path,
                               self.nginx.url)
        self.assertNotIn("CN=", done.stdout)
        self.assertIn("400", done.stdout)


class TestPython(E2ETest):
    URLLIB = """
import os, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, sys.argv[3])
context.load_cert_chain(os.environ["MTLS_CERT"], os.environ["MTLS_KEY"])
print(urllib.request.urlopen(sys.argv[1], context=context, timeout=20).read().decode())
"""
    REQUESTS = """
import os, requests, sys
print(requests.get(sys.argv[1], cert=(os.environ["MTLS_CERT"], os.environ["MTLS_KEY"]),
                   verify=sys.argv[2], timeout=20).text)
"""

    def test_urllib(self):
        for way, label, version in self.combinations():
            done = way(label, "python3", "-c", self.URLLIB, self.nginx.url, self.token.ca.path,
                       "TLSv1_" + version[-1])
            self.assert_verified(done, label, version)

    @unittest.skipUnless(importlib.util.find_spec("requests"), "python3-requests is not installed")
    def test_requests(self):
        for way in (self.run_wrapped, self.run_direct):
            for label in self.KEYS:
                with self.subTest(way=way.__name__, key=label):
                    done = way(label, "python3", "-c", self.REQUESTS, self.nginx.url,
                               self.token.ca.path)
                    self.assert_verified(done, label)


class TestOpenssl(E2ETest):
    REQUEST = "GET / HTTP/1.0\r\n\r\n"

    def s_client(self, way, label, *args):
        return way(label, "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile",
                   self.token.ca.path, "-connect", f"localhost:{self.nginx.port}", *args,
                   data=self.REQUEST)

    def test_s_client(self):
        for way, label, version in self.combinations():
            done = self.s_client(way, label, "-cert", self.cert_file(label), "-key",
                                 self.key_file(label), "-tls1_" + version[-1], "-ign_eof")
            self.assert_verified(done, label, version)

    def test_key_by_uri(self):
        for label in self.KEYS:
            with self.subTest(label):
                done = self.s_client(self.run_direct, label, "-cert", self.cert_file(label),
                                     "-key", f"mtls-agent:{label}", "-ign_eof")
                self.assert_verified(done, label)

    def test_software_keys_are_untouched(self):
        """With the provider active a PEM key still works, and signs what it wants."""
        done = self.run_direct("work", "sh", "-c",
                               "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 "
                               "-out k.pem && echo data > d && openssl dgst -sha256 -sign k.pem "
                               "-out s d && openssl pkey -in k.pem -pubout -out p.pem && "
                               "openssl dgst -sha256 -verify p.pem -signature s d")
        self.assertIn("Verified OK", done.stdout, done.stderr)

    def test_openssl_cannot_sign_something_else(self):
        """The same key reference outside of TLS: refused, and the reason reaches the person."""
        done = self.run_direct("work", "sh", "-c",
                               f"echo data | openssl dgst -sha256 -sign {self.key_file('work')}")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"TLS|CertificateVerify")

    def test_no_certificate_request_for_another_name(self):
        done = self.run_direct("work", "openssl", "req", "-new", "-key", self.key_file("work"),
                               "-subj", "/CN=root")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("BEGIN CERTIFICATE REQUEST", done.stdout)


@unittest.skipUnless(SSL_CLIENT.exists(), "ssl-client is not built")
class TestLibrary(E2ETest):
    def ssl_client(self, *args):
        return self.run_program(SSL_CLIENT, "localhost", self.nginx.port, self.token.ca.path, *args)

    def test_named_key(self):
        for label in self.KEYS:
            for version in ("1.2", "1.3"):
                with self.subTest(key=label, version=version):
                    self.assert_verified(self.ssl_client(label, version), label, version)

    def test_key_chosen_by_the_server(self):
        for version in ("1.2", "1.3"):
            with self.subTest(version):
                done = self.ssl_client("-", version)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stdout, rf"CN=(work|rsa)\|TLSv{version}")

    def test_key_by_uri_and_by_hash(self):
        key = self.token.keys["rsa"]
        for selector in ("pkcs11:token=demo;object=rsa", f"sha256:{key.hash.hex()[:16]}"):
            with self.subTest(selector):
                self.assert_verified(self.ssl_client(selector), "rsa")

    def test_unknown_key(self):
        done = self.ssl_client("nosuch")
        self.assertEqual(done.returncode, 3)
        self.assertIn("no-key", done.stderr)

    def test_absent_agent(self):
        done = self.run_program(SSL_CLIENT, "localhost", self.nginx.port, self.token.ca.path,
                                "work", env={"MTLS_AGENT_SOCK": "/nonexistent/agent.sock"})
        self.assertEqual(done.returncode, 3)
        self.assertIn("no-agent", done.stderr)


class TestNginxAsClient(E2ETest):
    """nginx before a server that wants certificates: proxy_ssl_certificate_key is a reference."""

    def test_proxy(self):
        front = Nginx(self.token.ca, env={**self.base_environment(),
                                          "OPENSSL_CONF": str(self.conf)},
                      directives="env OPENSSL_CONF; env OPENSSL_MODULES; env MTLS_AGENT_SOCK;")
        self.addCleanup(front.end)
        port = free_port()
        front.extra = f"""server {{ listen 127.0.0.1:{port};
            location / {{ proxy_pass {self.nginx.url};
              proxy_ssl_certificate {self.cert_file("work")};
              proxy_ssl_certificate_key {self.key_file("work")};
              proxy_ssl_trusted_certificate {self.token.ca.path};
              proxy_ssl_verify on; proxy_ssl_name localhost; }} }}"""
        front.start()
        for _ in range(3):
            done = self.run_program("curl", "-sS", f"http://127.0.0.1:{port}/")
            self.assertIn("CN=work|TLSv1", done.stdout, done.stderr + front.log())


@unittest.skipUnless(Postgres.is_there() and shutil.which("psql"), "needs PostgreSQL, and root")
class TestPsql(E2ETest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postgres = Postgres(cls.token.ca)
        cls.addClassCleanup(cls.postgres.end)
        cls.postgres.start()

    def test_psql(self):
        for way in (self.run_wrapped, self.run_direct):
            with self.subTest(way.__name__):
                done = way("work", "sh", "-c",
                           f'psql "host=localhost hostaddr=127.0.0.1 port={self.postgres.port} '
                           f'dbname=postgres user=work sslmode=verify-full '
                           f'sslrootcert={self.token.ca.path} sslcert=$MTLS_CERT '
                           f'sslkey=$MTLS_KEY" -tAc "select current_user"')
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout.strip(), "work")


class TestNoKeyInFiles(E2ETest):
    def test_no_file_of_the_client_holds_a_private_key(self):
        """What the programs were given has a public key and a name, nothing more."""
        for label in self.KEYS:
            text = self.key_file(label).read_text()
            self.assertNotIn("PRIVATE KEY", text)
            der = subprocess.run(["openssl", "pkey", "-in", self.key_file(label)],
                                 capture_output=True, check=False)
            self.assertNotEqual(der.returncode, 0)


if __name__ == "__main__":
    main()
