# SPDX-License-Identifier: Apache-2.0
"""OpenSSL programs that reach PKCS#11 through libp11's engine, or through pkcs11-provider."""

import base64
import os
import textwrap
import unittest
from pathlib import Path

from fixture import (MODULE, PKCS11_ENGINE, PKCS11_PROVIDER, POSTGRES, Logged, Nginx, Postgres,
                     ProgramsTest, free_port, main)

ENGINE_CONF = """openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11_section
[pkcs11_section]
engine_id = pkcs11
MODULE_PATH = {module}
init = 1
"""
PROVIDER_CONF = """openssl_conf = init
[init]
providers = providers
[providers]
default = default_section
pkcs11 = pkcs11_section
[default_section]
activate = 1
[pkcs11_section]
activate = 1
pkcs11-module-path = {module}
"""


class OpensslTest(ProgramsTest):
    CONF = ENGINE_CONF

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = cls.nginx_class()
        cls.conf = cls.home / "openssl.cnf"
        cls.conf.write_text(cls.CONF.format(module=MODULE))

    @classmethod
    def environment(cls):
        return {**super().environment(), "OPENSSL_CONF": str(cls.conf)}

    def assert_verified(self, done, label, version=""):
        self.assertIn(f"CN={label}|TLSv{version}", done.stdout,
                      f"{done.stderr}\n{self.nginx.log()}\n{self.agent.log()}")


class TestCurl(OpensslTest):
    NEEDS = ("curl", "nginx", PKCS11_ENGINE)

    def get(self, label, version="1.3", certificate=None):
        return self.run_program("curl", "-sS", "--cacert", self.token.ca.path, "--engine", "pkcs11",
                                *(certificate or ("--cert", self.cert_file(label))), "--key-type",
                                "ENG", "--key", self.uri(label, "private"), "--tlsv" + version,
                                "--tls-max", version, self.nginx.url)

    def test_every_key(self):
        for label in ("work", "rsa"):
            for version in ("1.2", "1.3"):
                with self.subTest(key=label, version=version), \
                        self.assert_signs(label, "curl", count=1):
                    self.assert_verified(self.get(label, version), label, version)

    def test_certificate_from_the_token(self):
        done = self.get("work", certificate=("--cert-type", "ENG", "--cert",
                                             self.uri("work", "cert")))
        self.assert_verified(done, "work")

    def test_a_key_that_signs_tls_alone(self):
        with self.assert_refused("strict"):
            done = self.get("strict")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("CN=", done.stdout)


class TestNginx(OpensslTest):
    """nginx before a server that demands certificates; master and workers are one program to us."""

    NEEDS = ("curl", "nginx", PKCS11_ENGINE)

    def front(self, *labels):
        """nginx with a plain port for each key, as {label: port}."""
        ports = {label: free_port() for label in labels}
        nginx = Nginx(self.token.ca, env=self.environment(),
                      directives="env OPENSSL_CONF; env MTLS_AGENT_SOCK;")
        self.addCleanup(nginx.end)
        nginx.extra = "".join(f"""server {{ listen 127.0.0.1:{port};
            location / {{ proxy_pass https://127.0.0.1:{self.nginx.port}/;
              proxy_ssl_certificate {self.cert_file(label)};
              proxy_ssl_certificate_key "engine:pkcs11:{self.uri(label, 'private')}";
              proxy_ssl_session_reuse off;
              proxy_ssl_trusted_certificate {self.token.ca.path};
              proxy_ssl_verify on; proxy_ssl_name localhost; }} }}"""
                              for label, port in ports.items())
        nginx.start()
        return ports

    def get(self, port):
        return self.run_program("curl", "-sS", f"http://127.0.0.1:{port}/")

    def test_proxy(self):
        for label, port in self.front("work", "rsa").items():
            with self.subTest(label), self.assert_signs(label, "nginx", count=3):
                for _ in range(3):
                    self.assert_verified(self.get(port), label)

    def test_the_agent_restarts_under_it(self):
        port = self.front("work")["work"]
        self.assert_verified(self.get(port), "work")
        self.agent.stop()
        self.assertIn("502 Bad Gateway", self.get(port).stdout)
        self.agent.start()
        self.agent.wait_keys(len(self.KEYS))
        self.assert_verified(self.get(port), "work")


class TestStunnel(OpensslTest):
    NEEDS = ("curl", "nginx", "stunnel", PKCS11_ENGINE)

    def test_client(self):
        for label in ("work", "rsa"):
            with self.subTest(label):
                port, conf = free_port(), self.home / f"stunnel-{label}.conf"
                conf.write_text(f"foreground = yes\npid =\ndebug = info\nengine = pkcs11\n"
                                f"[web]\nclient = yes\naccept = 127.0.0.1:{port}\n"
                                f"connect = 127.0.0.1:{self.nginx.port}\nengineId = pkcs11\n"
                                f"cert = {self.uri(label, 'cert')}\n"
                                f"key = {self.uri(label, 'private')}\n"
                                f"CAfile = {self.token.ca.path}\nverifyChain = yes\n"
                                "checkHost = localhost\n")
                stunnel = Logged(self, "stunnel", conf, env=self.environment())
                self.assertTrue(stunnel.wait_for("bound to"), stunnel.text())
                with self.assert_signs(label, "stunnel4?", count=1):
                    done = self.run_program("curl", "-sS", f"http://127.0.0.1:{port}/")
                self.assertIn(f"CN={label}|TLSv1", done.stdout, done.stderr + stunnel.text())


@unittest.skipUnless(os.geteuid() == 0, "PostgreSQL has a user of its own: needs root")
class TestPsql(OpensslTest):
    NEEDS = ("psql", POSTGRES, PKCS11_ENGINE)

    def test_login(self):
        postgres = Postgres(self.token.ca)
        self.addCleanup(postgres.end)
        postgres.start()
        with self.assert_signs("work", "psql"):
            done = self.run_program(
                "psql", f"host=localhost hostaddr=127.0.0.1 port={postgres.port} dbname=postgres "
                f"user=work sslmode=verify-full sslrootcert={self.token.ca.path} "
                f"sslcert={self.cert_file('work')} sslkey=pkcs11:{self.uri('work', 'private')}",
                "-tAc", "select current_user")
        self.assertEqual(done.stdout.strip(), "work", done.stderr)


@unittest.skipIf("bookworm" in Path("/etc/os-release").read_text(),
                 "Debian 12 has no pkcs11-provider")
class TestProvider(OpensslTest):
    """pkcs11-provider hands over whole messages: the agent checks them, no key signs digests."""

    CONF = PROVIDER_CONF
    NEEDS = ("curl", "nginx", "openssl", PKCS11_PROVIDER)
    CHECKED = tuple(OpensslTest.KEYS)
    REQUEST = "GET / HTTP/1.0\r\n\r\n"

    def test_s_client(self):
        for label in ("work", "rsa", "ed"):
            for version in ("1.2", "1.3"):
                kind = "tls" + version.replace(".", "")
                with self.subTest(key=label, version=version), \
                        self.assert_signs(label, "openssl", kind, count=1):
                    done = self.run_program(
                        "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile",
                        self.token.ca.path, "-connect", f"localhost:{self.nginx.port}", "-cert",
                        self.cert_file(label), "-key", self.uri(label, "private"),
                        "-tls1_" + version[-1], "-ign_eof", data=self.REQUEST)
                    self.assert_verified(done, label, version)

    def test_curl_with_the_key_in_a_file(self):
        """pkcs11-provider reads a PEM file that holds nothing but the URI."""
        for label in ("work", "rsa", "ed"):
            with self.subTest(label), self.assert_signs(label, "curl", "tls13", count=1):
                done = self.run_program("curl", "-sS", "--cacert", self.token.ca.path, "--cert",
                                        self.cert_file(label), "--key", self.uri_file(label),
                                        self.nginx.url)
                self.assert_verified(done, label, "1.3")

    def uri_file(self, label):
        path = self.home / f"{label}.uri.pem"
        text = "asn1=SEQUENCE:uri\n[uri]\nversion=VISIBLESTRING:PKCS\\#11 Provider URI v1.0\n" \
               f"uri=UTF8String:{self.uri(label, 'private')}\n"
        der = self.home / f"{label}.uri"
        self.assert_done(self.run_program("openssl", "asn1parse", "-noout", "-genconf", "-", "-out",
                                          der, data=text))
        body = textwrap.fill(base64.b64encode(der.read_bytes()).decode(), 64)
        path.write_text(f"-----BEGIN PKCS#11 PROVIDER URI-----\n{body}\n"
                        "-----END PKCS#11 PROVIDER URI-----\n")
        return path

    def test_something_that_is_not_tls(self):
        (self.home / "message").write_text("message")
        for label in ("work", "rsa"):
            with self.subTest(label), self.assert_refused(label):
                done = self.run_program("openssl", "dgst", "-sha256", "-sign",
                                        self.uri(label, "private"), "-out", "signature", "message")
            self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    main()
