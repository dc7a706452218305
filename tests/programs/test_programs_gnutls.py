# SPDX-License-Identifier: Apache-2.0
"""GnuTLS: p11tool, gnutls-cli, wget, and git with the libcurl of Debian's git."""

import os
import re
import subprocess

from fixture import (GIT_HTTP_BACKEND, MODULE, ProgramsTest, find_program, free_port, main,
                     poll_until)

REQUEST = "GET / HTTP/1.0\r\n\r\n"


class TestP11tool(ProgramsTest):
    NEEDS = ("p11tool",)

    def p11tool(self, *args):
        return self.run_program("p11tool", "--provider", MODULE, "--batch", *args)

    def test_list_tokens(self):
        done = self.assert_done(self.p11tool("--list-tokens"), "Label: demo",
                                "Manufacturer: mtls-agent", f"Serial: {self.token.serial}")
        self.assertNotIn("Requires PIN", done.stdout)

    def test_list_tokens_by_the_registration(self):
        done = self.run_registered("p11tool", "--batch", "--list-tokens")
        self.assert_done(done, "Label: demo", "Manufacturer: mtls-agent")

    def test_list_all_without_login(self):
        done = self.assert_done(self.p11tool("--list-all", f"pkcs11:token={self.token.label}"))
        for label in self.KEYS:
            kinds = re.findall(rf"URL: \S*;object={label};type=(\w+)", done.stdout)
            self.assertEqual(set(kinds), {"cert", "public", "private"}, done.stdout)

    def test_list_private_keys(self):
        done = self.p11tool("--list-privkeys", f"pkcs11:token={self.token.label}")
        self.assert_done(done, "Type: Private key \\(EC/ECDSA", "Type: Private key \\(RSA-2048")
        self.assertEqual(set(re.findall(r"Label: (\S+)", done.stdout)), set(self.KEYS))
        self.assertEqual(done.stdout.count("CKA_NEVER_EXTRACTABLE"), len(self.KEYS))
        self.assertEqual(done.stdout.count("CKA_SENSITIVE"), len(self.KEYS))

    def test_export_of_certificates(self):
        for label in self.KEYS:
            with self.subTest(label):
                done = self.assert_done(self.p11tool("--export", self.uri(label, "cert")))
                self.assertEqual(self.der("x509", done.stdout), self.token.keys[label].cert_der)

    def test_export_of_public_keys(self):
        for label in self.KEYS:
            with self.subTest(label):
                done = self.assert_done(self.p11tool("--export-pubkey",
                                                     self.uri(label, "private")))
                self.assertEqual(self.der("pkey", done.stdout, "-pubin"),
                                 self.token.keys[label].spki)

    @staticmethod
    def der(tool, pem, *args):
        return subprocess.run(["openssl", tool, *args, "-outform", "DER"], input=pem.encode(),
                              capture_output=True, check=True).stdout

    def test_export_of_a_chain(self):
        self.assert_done(self.p11tool("--export-chain", self.uri("work", "cert")),
                         "BEGIN CERTIFICATE")

    def test_sign(self):
        for label in ("work", "rsa"):
            with self.subTest(label), self.assert_signs(label, "p11tool"):
                done = self.p11tool("--test-sign", self.uri(label, "private"))
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertRegex(done.stdout + done.stderr, "Verifying against public key.*ok")

    def test_sign_is_refused(self):
        with self.assert_refused("strict"):
            done = self.p11tool("--test-sign", self.uri("strict", "private"))
        self.assertNotEqual(done.returncode, 0)

    def test_nothing_is_written(self):
        done = self.p11tool("--write", "--load-certificate", self.cert_file("work"), "--label",
                            "new", f"pkcs11:token={self.token.label}")
        self.assertNotEqual(done.returncode, 0)


class TestGnutlsCli(ProgramsTest):
    NEEDS = ("gnutls-cli", "nginx")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = cls.nginx_class()

    def get(self, label, version, *options, signatures="", registered=False):
        """A page over mutual TLS with this key."""
        provider = [] if registered else ["--provider", MODULE]
        command = ["gnutls-cli", *provider, "--x509cafile", self.token.ca.path, "--x509certfile",
                   self.uri(label, "cert"), "--x509keyfile", self.uri(label, "private"),
                   "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}{signatures}", *options,
                   "--port", self.nginx.port, "localhost"]
        run = self.run_registered if registered else self.run_program
        return run(*map(str, command), data=REQUEST)

    def assert_verified(self, done, label, version):
        self.assertIn(f"CN={label}|TLSv{version}|", done.stdout,
                      f"{done.stderr}\n{self.nginx.log()}\n{self.agent.log()}")

    def test_every_key(self):
        for label in ("work", "rsa"):
            for version in ("1.2", "1.3"):
                with self.subTest(key=label, version=version), \
                        self.assert_signs(label, "gnutls-cli", count=1):
                    self.assert_verified(self.get(label, version), label, version)

    def test_ed25519_is_seen_to_be_tls(self):
        """The whole message comes, so the agent checks it: the key needs no `sign = digest`."""
        for version, kind in (("1.2", "tls12"), ("1.3", "tls13")):
            with self.subTest(version), self.assert_signs("ed", "gnutls-cli", kind, count=1):
                self.assert_verified(self.get("ed", version), "ed", version)

    def test_rsa_of_tls12_without_pss(self):
        done = self.get("rsa", "1.2", signatures=":-SIGN-ALL:+SIGN-RSA-SHA256:"
                        "+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256")
        self.assert_verified(done, "rsa", "1.2")

    def test_by_the_registration(self):
        for label in ("work", "rsa", "ed"):
            with self.subTest(label):
                self.assert_verified(self.get(label, "1.3", registered=True), label, "1.3")

    def test_a_key_that_signs_tls_alone(self):
        """GnuTLS hashes for itself: the agent cannot see that it is TLS."""
        with self.assert_refused("strict"):
            done = self.get("strict", "1.3")
        self.assertNotIn("CN=strict", done.stdout)

    def test_without_a_certificate_the_server_refuses(self):
        done = self.run_program("gnutls-cli", "--x509cafile", self.token.ca.path, "--port",
                                self.nginx.port, "localhost", data=REQUEST)
        self.assertNotIn("|TLSv", done.stdout)
        self.assertIn("400", done.stdout)


class TestWget(ProgramsTest):
    NEEDS = ("wget", "nginx", "unshare")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = cls.nginx_class()

    def get(self, label, version, *urls):
        return self.run_registered(
            "wget", "-qO-", "--ca-certificate", self.token.ca.path, "--certificate",
            self.uri(label, "cert"), "--private-key", self.uri(label, "private"),
            f"--secure-protocol=TLSv{version.replace('.', '_')}", *(urls or [self.nginx.url]))

    def test_every_key(self):
        for label, kind in (("work", "digest"), ("rsa", "digest"), ("ed", "tls13")):
            with self.subTest(label), self.assert_signs(label, "wget", kind):
                self.assert_done(self.get(label, "1.3"), rf"CN={label}\|TLSv1.3")

    def test_many_pages_over_one_connection(self):
        """One signature; one more when GnuTLS tries whether key and certificate belong together."""
        before = len(self.audit())
        done = self.assert_done(self.get("work", "1.3", *[self.nginx.url] * 5))
        self.assertEqual(done.stdout.count("CN=work|"), 5)
        self.assertLessEqual(len(self.audit()) - before, 2)

    def test_a_key_that_signs_tls_alone(self):
        with self.assert_refused("strict"):
            self.assertNotEqual(self.get("strict", "1.3").returncode, 0)


class TestGit(ProgramsTest):
    """git-http-backend behind an nginx that demands certificates; its hook tells who pushed."""

    NEEDS = ("git", "nginx", "unshare", "fcgiwrap", GIT_HTTP_BACKEND)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.served = cls.token.dir / "served"
        cls.served.mkdir()
        gateway = cls.token.dir / "fcgi.sock"
        process = subprocess.Popen([find_program("fcgiwrap"), "-s", f"unix:{gateway}"],
                                   env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)
        poll_until(gateway.exists, what="fcgiwrap's socket")
        port = free_port()
        cls.url = f"https://localhost:{port}"
        cls.nginx = cls.nginx_class(extra=cls.server(port, gateway))

    @classmethod
    def server(cls, port, gateway):
        return f"""server {{ listen 127.0.0.1:{port} ssl;
            ssl_client_certificate {cls.token.ca.path}; ssl_verify_client on;
            location ~ ^(/.*)$ {{ fastcgi_pass unix:{gateway};
                fastcgi_param SCRIPT_FILENAME {GIT_HTTP_BACKEND};
                fastcgi_param GIT_PROJECT_ROOT {cls.served};
                fastcgi_param GIT_HTTP_EXPORT_ALL 1;
                fastcgi_param REMOTE_USER $ssl_client_s_dn;
                fastcgi_param REMOTE_ADDR $remote_addr;
                fastcgi_param REQUEST_METHOD $request_method;
                fastcgi_param QUERY_STRING $query_string;
                fastcgi_param CONTENT_TYPE $content_type;
                fastcgi_param CONTENT_LENGTH $content_length;
                fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
                fastcgi_param PATH_INFO $1; }} }}"""

    def repository(self, name):
        """An empty one on the server."""
        path = self.served / name
        self.assert_done(self.run_program("git", "init", "-q", "--bare", "-b", "main", path))
        hook = path / "hooks/post-receive"
        hook.write_text('#!/bin/sh\necho "pushed by $REMOTE_USER"\n')
        hook.chmod(0o755)
        return f"{self.url}/{name}"

    def git(self, label, *args):
        settings = {"http.sslCAInfo": self.token.ca.path, "http.sslCert": self.uri(label, "cert"),
                    "http.sslKey": self.uri(label, "private"), "user.name": label,
                    "user.email": f"{label}@localhost", "init.defaultBranch": "main"}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self.run_registered("git", *words, *args)

    def test_push_and_clone(self):
        for label, kind in (("work", "digest"), ("rsa", "digest"), ("ed", "tls13")):
            with self.subTest(label):
                url, tree, copy = (self.repository(f"{label}.git"), self.home / f"{label}-tree",
                                   self.home / f"{label}-copy")
                self.assert_done(self.git(label, "init", "-q", tree))
                (tree / "file").write_text(f"of {label}\n")
                self.assert_done(self.git(label, "-C", tree, "add", "file"))
                self.assert_done(self.git(label, "-C", tree, "commit", "-q", "-m", "first"))
                with self.assert_signs(label, "git-remote-http", kind):
                    done = self.assert_done(self.git(label, "-C", tree, "push", url, "main"))
                self.assertIn(f"pushed by CN={label}", done.stderr)
                with self.assert_signs(label, "git-remote-http", kind):
                    self.assert_done(self.git(label, "clone", "-q", url, copy))
                self.assertEqual((copy / "file").read_text(), f"of {label}\n")

    def test_a_key_that_signs_tls_alone(self):
        url = self.repository("strict.git")
        with self.assert_refused("strict"):
            done = self.git("strict", "clone", "-q", url, self.home / "none")
        self.assertNotEqual(done.returncode, 0)

    def test_without_a_certificate_the_server_refuses(self):
        url = self.repository("nobody.git")
        done = self.run_program("git", "-c", f"http.sslCAInfo={self.token.ca.path}", "clone", "-q",
                                url, self.home / "nobody")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("400", done.stderr)


if __name__ == "__main__":
    main()
