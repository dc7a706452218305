# SPDX-License-Identifier: Apache-2.0
"""How the provider gets into a program and stays out of its way: configuration, ordinary keys beside
it, what the shared object needs and shows, and how long a program waits for an agent that is not
well."""

import re
import socket
import time

from provider import (DEFAULT_FIRST, DEFAULT_LAST, KEYS, PROVIDER, ProviderTest, main, reference,
                      run)

# Loads the provider by its name as the first thing, with nothing configured.
LOAD_BY_NAME = r"""
import ctypes, ctypes.util, sys
crypto = ctypes.CDLL("libcrypto.so.3")
crypto.OSSL_PROVIDER_try_load.restype = ctypes.c_void_p
crypto.EVP_PKEY_Q_keygen.restype = ctypes.c_void_p
crypto.OSSL_STORE_open.restype = ctypes.c_void_p
crypto.OSSL_STORE_load.restype = ctypes.c_void_p
crypto.OSSL_STORE_load.argtypes = [ctypes.c_void_p]
assert crypto.OSSL_PROVIDER_try_load(None, b"mtls-agent", 1)
assert crypto.EVP_PKEY_Q_keygen(None, None, b"EC", b"P-256"), "no ordinary key"
assert crypto.EVP_PKEY_Q_keygen(None, None, b"ED25519"), "no ordinary key"
store = crypto.OSSL_STORE_open(b"mtls-agent:rsa", None, None, None, None)
assert store and crypto.OSSL_STORE_load(store), "no key of the agent"
"""


class TestConfiguration(ProviderTest):
    def test_provider_names_itself(self):
        said = run("openssl", "list", "-providers", env=self.env()).stdout.decode()
        self.assertIn("mtls-agent", said)
        self.assertEqual(said.count("status: active"), 2)

    def test_socket_in_the_section_wins(self):
        self.conf = self.write_conf(options=f"socket = {self.socket}")
        self.agent()
        run("openssl", "pkey", "-in", self.reference("rsa"), "-pubout",
            env=self.env(MTLS_AGENT_SOCK="/nonexistent"))

    def test_socket_below_the_runtime_directory(self):
        self.socket = self.dir / "mtls-agent" / "agent.sock"
        self.socket.parent.mkdir(exist_ok=True)
        self.agent()
        env = self.env(XDG_RUNTIME_DIR=str(self.dir))
        del env["MTLS_AGENT_SOCK"]
        run("openssl", "pkey", "-in", self.reference("rsa"), "-pubout", env=env)

    def test_module_by_path(self):
        self.conf = self.write_conf(options=f"module = {PROVIDER}")
        self.agent()
        env = self.env()
        del env["OPENSSL_MODULES"]
        run("openssl", "pkey", "-in", self.reference("rsa"), "-pubout", env=env)

    def test_loaded_by_name_with_no_configuration(self):
        self.agent()
        self.conf = "/dev/null"
        run("python3", "-c", LOAD_BY_NAME, env=self.env())

    def test_public_key_of_the_agent_is_that_of_the_certificate(self):
        self.agent()
        for name in KEYS:
            with self.subTest(key=name):
                mine = run("openssl", "pkey", "-in", self.reference(name), "-pubout",
                           env=self.env()).stdout
                self.assertEqual(mine, run("openssl", "pkey", "-in", self.key(name),
                                           "-pubout").stdout)

    def test_store_lists_keys_and_certificates(self):
        self.agent()
        said = run("openssl", "storeutl", "-noout", "mtls-agent:", env=self.env()).stdout.decode()
        self.assertEqual(re.findall(r"\d+: (\w+)", said), ["Pkey", "Certificate"] * len(KEYS))


class TestOrdinaryKeys(ProviderTest):
    """With the provider active, in either order, nothing of theirs changes and nobody is asked."""

    ORDERS = {"default first": DEFAULT_FIRST, "default last": DEFAULT_LAST}

    def in_both_orders(self, action):
        self.agent()
        for name, order in self.ORDERS.items():
            with self.subTest(order=name):
                self.conf = self.write_conf(order)
                action()
        self.assertEqual(self.log(), [])

    def test_generate(self):
        def generate():
            for algorithm in KEYS.values():
                run("openssl", "genpkey", "-out", self.dir / "fresh", "-algorithm", *algorithm,
                    env=self.env())
        self.in_both_orders(generate)

    def test_sign_and_verify(self):
        (self.dir / "data").write_text("data")

        def sign_and_verify():
            for name in ("p256", "rsa"):
                run("openssl", "dgst", "-sha256", "-sign", self.key(name), "-out",
                    self.dir / "signature", self.dir / "data", env=self.env())
                run("openssl", "dgst", "-sha256", "-prverify", self.key(name), "-signature",
                    self.dir / "signature", self.dir / "data", env=self.env())
        self.in_both_orders(sign_and_verify)

    def test_handshake_with_software_key(self):
        port = self.server()

        def shake_hands():
            for name in KEYS:
                self.client(port, name, key=self.key(name))
        self.in_both_orders(shake_hands)

    def test_encrypted_key_and_pkcs12(self):
        def convert():
            run("openssl", "pkey", "-in", self.key("p256"), "-aes256", "-passout", "pass:x",
                "-out", self.dir / "encrypted", env=self.env())
            run("openssl", "pkey", "-in", self.dir / "encrypted", "-passin", "pass:x",
                env=self.env())
            run("openssl", "pkcs12", "-export", "-in", self.cert("p256"), "-inkey",
                self.key("p256"), "-passout", "pass:x", "-out", self.dir / "p12", env=self.env())
        self.in_both_orders(convert)

    def test_ephemeral_keys_of_a_handshake(self):
        ports = [self.server("-groups", group, verify=False) for group in ("P-256", "X25519")]

        def shake_hands():
            for port in ports:
                said = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof",
                           "-quiet", stdin=b"GET / HTTP/1.0\r\n\r\n", env=self.env())
                self.assertIn(b"HTTP/1.0 200", said.stdout)
        self.in_both_orders(shake_hands)


class TestWrongOrder(ProviderTest):
    """A reference in a program whose configuration names `default` last: one that has used OpenSSL
    before it reads the key, as curl has, works all the same."""

    def test_handshake(self):
        self.agent()
        port = self.server()
        self.conf = self.write_conf(DEFAULT_LAST)
        page = run("curl", "-sS", "-k", "--cert", self.cert("rsa"), "--key", self.reference("rsa"),
                   f"https://127.0.0.1:{port}/", env=self.env())
        self.assertIn("CN = rsa", page.stdout.decode().replace("CN=", "CN = "))
        self.assertEqual(len(self.requests("sign")), 1)


class TestSharedObject(ProviderTest):
    def test_needs_libc_and_libcrypto_alone(self):
        said = run("readelf", "-dW", PROVIDER).stdout.decode()
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", said))
        self.assertLessEqual(needed, {"libcrypto.so.3", "libc.so.6"})
        self.assertNotIn("DEEPBIND", said)

    def test_exports_one_symbol(self):
        said = run("nm", "-D", "--defined-only", PROVIDER).stdout.decode()
        self.assertEqual([line.split()[-1] for line in said.splitlines()], ["OSSL_provider_init"])


class TestUnwellAgent(ProviderTest):
    def wait_for_answer(self, *options):
        """How long `openssl pkey` takes with such an agent, and what it says."""
        began = time.monotonic()
        done = run("openssl", "pkey", "-in", self.reference("rsa"), "-pubout", env=self.env(),
                   check=False, *options)
        self.assertNotEqual(done.returncode, 0)
        return time.monotonic() - began, done.stderr.decode()

    def test_no_agent_is_said_at_once(self):
        took, said = self.wait_for_answer()
        self.assertLess(took, 5)
        self.assertIn("mtls-agent", said)
        self.assertIn("no agent listens", said)

    def test_stale_socket_is_said_at_once(self):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(self.socket))
        self.addCleanup(self.socket.unlink, missing_ok=True)
        took, said = self.wait_for_answer()
        self.assertLess(took, 5)
        self.assertIn("mtls-agent", said)

    def test_refusal_of_the_agent_is_said_in_its_words(self):
        self.agent("--on", "list", "--error", "3:Only between nine and five.")
        _, said = self.wait_for_answer()
        self.assertIn("Only between nine and five.", said)

    def test_garbage_is_an_error(self):
        self.agent("--on", "list", "--garbage")
        took, said = self.wait_for_answer()
        self.assertLess(took, 5)
        self.assertIn("mtls-agent", said)

    def test_slow_agent_is_waited_for(self):
        self.agent("--on", "list", "--delay-ms", "1500")
        run("openssl", "pkey", "-in", self.reference("rsa"), "-pubout", env=self.env())

    def test_damaged_references_are_errors_and_ask_nothing(self):
        self.agent()
        good = reference("mtls-agent:rsa")
        path = self.dir / "damaged.pem"
        for damaged in (good[:-40], good.replace("\nM", "\nN", 1), good + "x", good[:80] + good[84:],
                        good.replace("-----END", "=====END"), good[:43] + "A" * 300000 + good[43:]):
            path.write_text(damaged)
            with self.subTest(file=damaged[:200]):
                done = run("openssl", "pkey", "-in", path, "-pubout", env=self.env(), check=False)
                if damaged.endswith("x"):  # text behind a block is no part of it
                    self.assertEqual(done.returncode, 0)
                    continue
                self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(self.requests("list")), 1)


if __name__ == "__main__":
    main()
