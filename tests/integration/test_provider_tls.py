# SPDX-License-Identifier: Apache-2.0
"""Handshakes of unmodified programs with a key reference file, through the provider."""

import shutil
import socket
import ssl
import threading
import unittest

from provider import DEADLINE, KEYS, ProviderTest, main, run

# scheme of the client's signature by key: TLS 1.3, and TLS 1.2 with a server that takes all
TLS13 = {"p256": "0x0403", "p384": "0x0503", "p521": "0x0603", "rsa": "0x0804", "pss": "0x0809",
         "ed25519": "0x0807"}

PYTHON = r"""
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
context.load_cert_chain(*sys.argv[3:])
print(urllib.request.urlopen(f"https://127.0.0.1:{sys.argv[1]}/", context=context,
                             timeout=20).read().decode())
"""

POST_HANDSHAKE = r"""
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
context.post_handshake_auth = True
context.load_cert_chain(*sys.argv[3:])
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)) as tls:
    tls.sendall(b"hello")
    tls.recv(100)
    tls.sendall(b"done")
    tls.recv(100)  # until the server has seen all of it
"""


class TestHandshake(ProviderTest):
    def setUp(self):
        super().setUp()
        self.agent()

    def test_tls13_with_every_key(self):
        port = self.server("-tls1_3")
        for name in KEYS:
            with self.subTest(key=name):
                self.client(port, name)
                self.assertRegex(self.requests("sign")[-1],
                                 f"^sign {name} tls13 {TLS13[name]} (130|146)$")

    def test_tls12_with_every_key(self):
        port = self.server("-tls1_2")
        for name in KEYS:
            with self.subTest(key=name):
                self.client(port, name)
                self.assertRegex(self.requests("sign")[-1], f"^sign {name} tls12 ")
        self.assertEqual(len(self.requests("sign")), len(KEYS))

    def test_tls12_with_pkcs1(self):
        port = self.server("-tls1_2", "-client_sigalgs", "RSA+SHA256:RSA+SHA384:RSA+SHA512")
        self.client(port, "rsa")
        self.assertRegex(self.requests("sign")[-1], "^sign rsa tls12 0x0401 ")

    def test_tls12_digest_decides_the_scheme_of_an_ec_key(self):
        for digest, scheme in (("SHA256", "0x0403"), ("SHA384", "0x0503"), ("SHA512", "0x0603")):
            with self.subTest(digest=digest):
                port = self.server("-tls1_2", "-client_sigalgs", f"ECDSA+{digest}")
                self.client(port, "p256")
                self.assertRegex(self.requests("sign")[-1], f"^sign p256 tls12 {scheme} ")

    def test_pss_with_each_digest(self):
        for digest, scheme in (("sha256", "0x0804"), ("sha384", "0x0805"), ("sha512", "0x0806")):
            with self.subTest(digest=digest):
                port = self.server("-client_sigalgs", f"rsa_pss_rsae_{digest}")
                self.client(port, "rsa")
                self.assertRegex(self.requests("sign")[-1], f"^sign rsa tls13 {scheme} ")

    def test_both_transcript_hashes(self):
        port = self.server()
        for suite, length in (("TLS_AES_128_GCM_SHA256", 130), ("TLS_AES_256_GCM_SHA384", 146)):
            with self.subTest(suite=suite):
                self.client(port, "p256", "-ciphersuites", suite)
                self.assertEqual(self.requests("sign")[-1], f"sign p256 tls13 0x0403 {length}")

    def test_hello_retry_request(self):
        port = self.server("-tls1_3", "-groups", "P-384")
        for name in KEYS:
            with self.subTest(key=name):
                said = self.client(port, name, "-groups", "X25519:P-384", "-msg")
                self.assertEqual(said.count(", ClientHello"), 2)
                self.assertRegex(self.requests("sign")[-1], f"^sign {name} tls13 ")

    def test_one_handshake_makes_one_list_and_one_sign(self):
        port = self.server()
        self.client(port, "p256")
        self.assertEqual([line.split()[0] for line in self.log()], ["hello", "list", "sign"])

    def test_key_by_uri(self):
        port = self.server()
        for uri in ("mtls-agent:rsa", "mtls-agent:%72sa", "mtls-agent:pkcs11:object=rsa"):
            with self.subTest(uri=uri):
                self.client(port, "rsa", key=uri)

    def test_server_that_asks_for_nothing_makes_no_signature(self):
        port = self.server(verify=False)
        said = self.client(port, "p256", check=False)
        self.assertIn("HTTP/1.0 200", said)
        self.assertEqual(self.requests("sign"), [])


class TestPrograms(ProviderTest):
    def setUp(self):
        super().setUp()
        self.agent()

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl_with_certificate_and_reference(self):
        port = self.server()
        for name in KEYS:
            with self.subTest(key=name):
                page = run("curl", "-sS", "-k", "--cert", self.cert(name), "--key",
                           self.reference(name), f"https://127.0.0.1:{port}/", env=self.env())
                self.assertIn(f"CN = {name}", page.stdout.decode().replace("CN=", "CN = "))

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl_with_one_file_for_both(self):
        port = self.server()
        page = run("curl", "-sS", "-k", "-E", self.dir / "rsa.both", f"https://127.0.0.1:{port}/",
                   env=self.env())
        self.assertIn("CN = rsa", page.stdout.decode().replace("CN=", "CN = "))

    def python(self, port, *files):
        return run("python3", "-c", PYTHON, str(port), self.dir / "all.crt", *files,
                   env=self.env())

    def test_python_with_certificate_and_reference(self):
        port = self.server()
        for name in KEYS:
            with self.subTest(key=name):
                page = self.python(port, self.cert(name), self.reference(name))
                self.assertIn(f"CN = {name}", page.stdout.decode().replace("CN=", "CN = "))

    def test_python_with_one_file_for_both(self):
        port = self.server()
        page = self.python(port, self.dir / "p384.both")
        self.assertIn("CN = p384", page.stdout.decode().replace("CN=", "CN = "))

    def test_python_reports_a_missing_agent_as_a_tls_error(self):
        """Not as "No such file": errno of the provider's own calls stays with it."""
        done = run("python3", "-c", PYTHON, "1", self.dir / "all.crt", self.cert("p256"),
                   self.reference("p256"), env=self.env(MTLS_AGENT_SOCK="/nonexistent"),
                   check=False)
        self.assertIn("ssl.SSLError", done.stderr.decode())
        self.assertNotIn("No such file", done.stderr.decode())

    def test_certificate_request_where_policy_allows_digests(self):
        self.doCleanups()
        super().setUp()
        self.agent("--allow-digest")
        for name in KEYS:
            with self.subTest(key=name):
                request = self.dir / "request.pem"
                run("openssl", "req", "-new", "-key", self.reference(name), "-subj", "/CN=x",
                    "-out", request, "-config", "/etc/ssl/openssl.cnf", env=self.env())
                run("openssl", "req", "-in", request, "-verify", "-noout")


class TestPostHandshake(ProviderTest):
    """RFC 8446 section 4.6.2, against a server in this process."""

    def serve(self, listener, said):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert("p256"), self.key("p256"))
        context.load_verify_locations(self.dir / "all.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.post_handshake_auth = True
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        connection, _ = listener.accept()
        connection.settimeout(DEADLINE)
        with context.wrap_socket(connection, server_side=True) as tls:
            said.append(tls.getpeercert())
            tls.recv(100)
            tls.verify_client_post_handshake()
            tls.sendall(b"who are you")
            tls.recv(100)
            said.append(tls.getpeercert())

    def test_certificate_is_asked_for_after_the_handshake(self):
        self.agent()
        for name in KEYS:
            with self.subTest(key=name), socket.create_server(("127.0.0.1", 0)) as listener:
                said = []
                listener.settimeout(DEADLINE)
                server = threading.Thread(target=self.serve, args=(listener, said))
                server.start()
                run("python3", "-c", POST_HANDSHAKE, str(listener.getsockname()[1]),
                    self.dir / "all.crt", self.cert(name), self.reference(name), env=self.env())
                server.join(DEADLINE)
                self.assertFalse(said[0], "a certificate in the first handshake")
                self.assertEqual(said[1]["subject"], ((("commonName", name),),))
                self.assertRegex(self.requests("sign")[-1], f"^sign {name} tls13 ")


if __name__ == "__main__":
    main()
