# SPDX-License-Identifier: Apache-2.0
"""TLS 1.2: what a client signs (RFC 5246 section 7.4.8) or must not."""

import os
import ssl

import harness
import softhsm
import tls_messages
import wire
from harness import Code, Kind, ServedTest
from tls_messages import (CERTIFICATE, CERTIFICATE_STATUS, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, EMS,
                          HELLO_REQUEST, RENEGOTIATION_INFO, SERVER_HELLO, SERVER_HELLO_DONE,
                          SERVER_KEY_EXCHANGE, Tls12, handshake, join, vector)


def captured_handshake(ca, suites="ECDHE"):
    """What OpenSSL's own TLS 1.2 client signed, in a handshake inside this process."""
    key, _ = tls_messages.server_identity(ca)
    client_cert = ca.dir / "client.pem"
    client_cert.write_bytes(ca.issue(softhsm.run("openssl", "pkey", "-in", key, "-pubout"),
                                     "/CN=client"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(ca.dir / "server.pem", key)
    server.load_verify_locations(ca.path)
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(ca.path)
    client.load_cert_chain(client_cert, key)
    client.set_ciphers(suites)
    seen = []

    def note(_conn, _direction, _version, content_type, _message_type, data):
        if content_type == 22:
            seen.append(data)
    client._msg_callback = note
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    ends = [client.wrap_bio(pipes[0], pipes[1]),
            server.wrap_bio(pipes[2], pipes[3], server_side=True)]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
        pipes[2].write(pipes[1].read())
        pipes[0].write(pipes[3].read())
    ended = next(i for i, data in enumerate(seen) if data[0] == CLIENT_KEY_EXCHANGE)
    return b"".join(seen[:ended + 1])


class Tls12Test(ServedTest):
    KEYS = {"work": "EC:prime256v1", "p384": "EC:secp384r1", "rsa": "rsa:2048",
            "ed": "EC:edwards25519"}
    SECTIONS = "[agent]\naudit = off\n"

    def setUp(self):
        self.wire = self.client()
        self.handshake = Tls12(self.the_token.ca, self.key().cert_der)

    def assert_signed(self, content, label="work", scheme=wire.ECDSA_SHA256):
        self.assert_signs(self.wire, self.key(label), scheme, Kind.TLS12, content)

    def assert_not_signed(self, content, label="work", scheme=wire.ECDSA_SHA256):
        return self.assert_refused(Code.POLICY, self.wire.sign, self.key(label).hash, scheme,
                                   Kind.TLS12, content)

    def with_body(self, kind, body, which=0):
        """The messages, with the body of the @which-th message of one kind replaced."""
        messages = self.handshake.messages()
        at = [i for i, (k, _) in enumerate(messages) if k == kind][which]
        messages[at] = (kind, body)
        return join(messages)


class TestSigned(Tls12Test):
    def test_handshake_of_openssl(self):
        self.assert_signed(captured_handshake(self.the_token.ca))

    def test_handshake_built_here(self):
        self.assert_signed(self.handshake.content())

    def test_certificate_status_in_its_place(self):
        messages = self.handshake.messages()
        messages.insert(3, (CERTIFICATE_STATUS, b"\1" + vector(b"response", 3)))
        self.assert_signed(join(messages))

    def test_tls12_does_not_tie_curve_and_hash(self):
        self.assert_signed(self.handshake.content(), "work", wire.ECDSA_SHA384)
        self.assert_signed(self.handshake.content(), "p384", wire.ECDSA_SHA256)

    def test_rsa_may_sign_with_pkcs1_and_pss(self):
        for scheme in (wire.RSA_PKCS1_SHA256, wire.RSA_PSS_SHA256):
            self.assert_signed(self.handshake.content(), "rsa", scheme)

    def test_ed25519(self):
        self.assert_signed(self.handshake.content(), "ed", wire.ED25519)

    def test_renegotiation_signal_as_cipher_suite(self):
        self.handshake.client_extensions.remove((RENEGOTIATION_INFO, b"\0"))
        self.handshake.cipher_suite = b"\xc0\x2b"
        hello = self.handshake.client_hello().replace(b"\0\2\xc0\x2b", b"\0\4\xc0\x2b\0\xff", 1)
        self.assert_signed(self.with_body(CLIENT_HELLO, hello))

    def test_session_id_of_32_bytes(self):
        hello = self.handshake.client_hello()
        self.assert_signed(self.with_body(CLIENT_HELLO,
                                          hello[:34] + vector(bytes(32), 1) + hello[35:]))

    def test_long_chains(self):
        chain = vector(vector(self.key().cert_der, 3) * 8, 3)
        self.assert_signed(self.with_body(CERTIFICATE, chain, 1))


class TestMessages(Tls12Test):
    def test_one_message_missing(self):
        messages = self.handshake.messages()
        for i in range(len(messages)):
            with self.subTest(missing=messages[i][0], at=i):
                self.assert_not_signed(join(messages[:i] + messages[i + 1:]))

    def test_one_message_twice(self):
        messages = self.handshake.messages()
        for i in range(len(messages)):
            with self.subTest(twice=messages[i][0], at=i):
                self.assert_not_signed(join(messages[:i + 1] + messages[i:]))

    def test_two_messages_exchanged(self):
        messages = self.handshake.messages()
        for i in range(len(messages) - 1):
            with self.subTest(at=i):
                swapped = messages[:i] + [messages[i + 1], messages[i]] + messages[i + 2:]
                self.assert_not_signed(join(swapped))

    def test_message_that_is_never_part_of_it(self):
        messages = self.handshake.messages()
        for kind in (HELLO_REQUEST, 3, 4, 5, 8, 15, 20, 23, 24, 25, 254, 255):
            for at in range(len(messages) + 1):
                body = b"" if kind == HELLO_REQUEST else b"\0\0"
                self.assert_not_signed(join(messages[:at] + [(kind, body)] + messages[at:]))

    def test_certificate_status_in_another_place(self):
        messages = self.handshake.messages()
        status = (CERTIFICATE_STATUS, b"\1" + vector(b"response", 3))
        for at in (0, 1, 2, 4, 5, 6, 7, 8):
            with self.subTest(at=at):
                self.assert_not_signed(join(messages[:at] + [status] + messages[at:]))

    def test_cut_anywhere(self):
        content = self.handshake.content()
        for size in range(0, len(content), 3):
            self.assert_not_signed(content[:size])
        self.assert_not_signed(content[:-1])

    def test_bytes_behind_it(self):
        for extra in (b"\0", b"\x10", handshake(20, bytes(12)), self.handshake.content()):
            self.assert_not_signed(self.handshake.content() + extra)

    def test_bytes_before_it(self):
        for extra in (b"\0", handshake(HELLO_REQUEST, b""), self.handshake.content()):
            self.assert_not_signed(extra + self.handshake.content())

    def test_message_length_past_the_end(self):
        content = self.handshake.content()
        for length in (b"\xff\xff\xff", b"\x80\0\0", len(content).to_bytes(3, "big")):
            self.assert_not_signed(content[:1] + length + content[4:])

    def test_handshake_headers_of_dtls(self):
        parts = []
        for number, (kind, body) in enumerate(self.handshake.messages()):
            size = len(body).to_bytes(3, "big")
            parts.append(bytes([kind]) + size + number.to_bytes(2, "big") + bytes(3) + size + body)
        self.assert_not_signed(b"".join(parts))

    def test_static_rsa_key_exchange(self):
        messages = [m for m in self.handshake.messages() if m[0] != SERVER_KEY_EXCHANGE]
        self.assert_not_signed(join(messages))


class TestHello(Tls12Test):
    def test_wrong_version(self):
        for version in (b"\3\0", b"\3\1", b"\3\2", b"\3\4", b"\xfe\xfd", b"\2\0"):
            for kind, hello in ((CLIENT_HELLO, self.handshake.client_hello()),
                                (SERVER_HELLO, self.handshake.server_hello())):
                with self.subTest(version=version, of=kind):
                    self.assert_not_signed(self.with_body(kind, version + hello[2:]))

    def test_no_extended_master_secret_in_either_hello(self):
        for extensions in (self.handshake.client_extensions, self.handshake.server_extensions):
            extensions.remove((EMS, b""))
            self.assert_not_signed(self.handshake.content())
            extensions.append((EMS, b""))
        self.assert_signed(self.handshake.content())

    def test_extended_master_secret_with_content(self):
        self.handshake.client_extensions.remove((EMS, b""))
        self.handshake.client_extensions.append((EMS, b"\0"))
        self.assert_not_signed(self.handshake.content())

    def test_no_extensions_at_all(self):
        hello = self.handshake.client_hello()
        bare = hello[:-len(tls_messages.extensions(self.handshake.client_extensions))]
        self.assert_not_signed(self.with_body(CLIENT_HELLO, bare))
        self.assert_not_signed(self.with_body(CLIENT_HELLO, bare + b"\0\0"))

    def test_renegotiation(self):
        for which in ("client_extensions", "server_extensions"):
            for data in (vector(os.urandom(12), 1), vector(os.urandom(24), 1), b"", b"\1", b"\0\0"):
                with self.subTest(which=which, data=data):
                    changed = Tls12(self.the_token.ca, self.key().cert_der)
                    extensions = [e for e in getattr(changed, which) if e[0] != RENEGOTIATION_INFO]
                    setattr(changed, which, extensions + [(RENEGOTIATION_INFO, data)])
                    self.assert_not_signed(changed.content())

    def test_renegotiation_hidden_before_or_behind_an_empty_one(self):
        full, empty = (RENEGOTIATION_INFO, vector(os.urandom(12), 1)), (RENEGOTIATION_INFO, b"\0")
        for pair in ([full, empty], [empty, full]):
            changed = Tls12(self.the_token.ca, self.key().cert_der)
            changed.client_extensions = [(EMS, b""), *pair]
            self.assert_not_signed(changed.content())

    def test_malformed_client_hello(self):
        hello = self.handshake.client_hello()
        for name, body in {
                "session id over 32 bytes": hello[:34] + vector(bytes(33), 1) + hello[35:],
                "odd suites": hello.replace(b"\0\2\xc0\x2b", b"\0\3\xc0\x2b\0", 1),
                "no suites": hello.replace(b"\0\2\xc0\x2b", b"\0\0", 1),
                "no compression method": hello.replace(b"\xc0\x2b\1\0", b"\xc0\x2b\0", 1),
                "bytes behind the extensions": hello + b"\0",
                "extensions cut": hello[:-1],
                "empty": b""}.items():
            with self.subTest(name):
                self.assertNotEqual(body, hello)
                self.assert_not_signed(self.with_body(CLIENT_HELLO, body))

    def test_malformed_server_hello(self):
        hello = self.handshake.server_hello()
        for name, body in {
                "session id over 32 bytes": hello[:34] + vector(bytes(33), 1) + hello[35:],
                "compression": hello.replace(b"\xc0\x2b\0", b"\xc0\x2b\1", 1),
                "bytes behind the extensions": hello + b"\0",
                "extensions cut": hello[:-1],
                "empty": b""}.items():
            with self.subTest(name):
                self.assertNotEqual(body, hello)
                self.assert_not_signed(self.with_body(SERVER_HELLO, body))


class TestBodies(Tls12Test):
    def test_key_exchange_without_a_signature(self):
        """Anonymous Diffie-Hellman: nothing says who the server is."""
        params = b"\3\0\x17" + vector(self.handshake.point, 1)
        for body in (params, params + b"\4\3", params + b"\4\3\0\0", b"", b"\0\0"):
            with self.subTest(size=len(body)):
                self.assert_not_signed(self.with_body(SERVER_KEY_EXCHANGE, body))

    def test_key_exchange_with_a_cut_or_longer_signature(self):
        body = self.handshake.server_key_exchange()
        for changed in (body[:-1], body + b"\0"):
            self.assert_not_signed(self.with_body(SERVER_KEY_EXCHANGE, changed))

    def test_server_certificate_list_that_is_empty_or_malformed(self):
        for body in (b"\0\0\0", b"", b"\0\0", b"\0\0\3\0\0\0", b"\0\0\4\0\0\1", b"\xff\xff\xff"):
            with self.subTest(body=body):
                self.assert_not_signed(self.with_body(CERTIFICATE, body, 0))

    def test_client_certificate_list_that_is_empty_or_malformed(self):
        """A client that signs has sent a certificate."""
        for body in (b"\0\0\0", b"", b"\0\0\3\0\0\0", b"\0\0\4\0\0\1x\0", b"\xff\xff\xff"):
            with self.subTest(body=body):
                self.assert_not_signed(self.with_body(CERTIFICATE, body, 1))

    def test_server_hello_done_with_content(self):
        self.assert_not_signed(self.with_body(SERVER_HELLO_DONE, b"\0"))

    def test_empty_client_key_exchange(self):
        self.assert_not_signed(self.with_body(CLIENT_KEY_EXCHANGE, b""))

    def test_schemes_without_a_safe_hash(self):
        for label, schemes in (("rsa", (0x0201, 0x0101)), ("work", (0x0203,))):
            for scheme in schemes:
                self.assert_not_signed(self.handshake.content(), label, scheme)

    def test_scheme_of_another_key_type(self):
        self.assert_not_signed(self.handshake.content(), "rsa", wire.ECDSA_SHA256)
        self.assert_not_signed(self.handshake.content(), "work", wire.RSA_PSS_SHA256)


if __name__ == "__main__":
    harness.main()
