# SPDX-License-Identifier: Apache-2.0
"""What a key for TLS signs: the TLS 1.3 client CertificateVerify, and nothing that resembles it."""

import base64
import hashlib
import json
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import harness
import tls_messages
import wire
from harness import Code, Kind, ServedTest
from tls_messages import CLIENT_CONTEXT, certificate_verify

SHA1_SCHEMES = {"rsa_pkcs1_sha1": 0x0201, "ecdsa_sha1": 0x0203, "dsa_sha1": 0x0202,
                "rsa_pkcs1_md5": 0x0101}

EC_SCHEMES = {"p256": wire.ECDSA_SHA256, "p384": wire.ECDSA_SHA384, "p521": wire.ECDSA_SHA512}
RSA_SCHEMES = (wire.RSA_PSS_SHA256, wire.RSA_PSS_SHA384, wire.RSA_PSS_SHA512)
PKCS1_SCHEMES = (0x0401, 0x0501, 0x0601)
PSS_PSS_SCHEMES = (0x0809, 0x080A, 0x080B)


class SignTest(ServedTest):
    KEYS = {"p256": "EC:prime256v1", "p384": "EC:secp384r1", "p521": "EC:secp521r1",
            "rsa": "rsa:2048", "ed": "EC:edwards25519"}
    SECTIONS = "[agent]\naudit = off\n"

    def setUp(self):
        self.wire = self.client()

    def assert_not_signed(self, content, label="p256", scheme=wire.ECDSA_SHA256, kind=Kind.TLS13):
        return self.assert_refused(Code.POLICY, self.wire.sign, self.key(label).hash, scheme, kind,
                                   content)


class TestSigned(SignTest):
    def test_every_key_signs_with_its_schemes(self):
        for label, scheme in (*EC_SCHEMES.items(), ("ed", wire.ED25519),
                              *(("rsa", scheme) for scheme in RSA_SCHEMES)):
            with self.subTest(key=label, scheme=hex(scheme)):
                self.assert_signs(self.wire, self.key(label), scheme)

    def test_transcript_hash_of_either_length_is_signed(self):
        for size in (32, 48):
            with self.subTest(size=size):
                self.assert_signs(self.wire, self.key("p256"),
                                  content=certificate_verify(os.urandom(size)))

    def test_the_listed_schemes_are_those_that_work(self):
        for key in self.wire.keys():
            for scheme in key.schemes:
                if scheme in PKCS1_SCHEMES or (scheme in EC_SCHEMES.values() and
                                               scheme != EC_SCHEMES[key.name]):
                    continue  # TLS 1.2 only
                with self.subTest(key=key.name, scheme=hex(scheme)):
                    self.assert_signs(self.wire, key, scheme)

    def test_own_scheme_is_listed_first(self):
        first = {key.name: key.schemes[0] for key in self.wire.keys()}
        self.assertEqual(first, {**EC_SCHEMES, "rsa": wire.RSA_PSS_SHA256, "ed": wire.ED25519})

    def test_unknown_key_hash_is_no_key(self):
        self.assert_refused(Code.NO_KEY, self.wire.sign, bytes(32), wire.ECDSA_SHA256, Kind.TLS13,
                            certificate_verify())

    def test_refusals_are_counted(self):
        before = self.the_agent.status().refusals
        self.assert_not_signed(b"")
        self.assertEqual(self.the_agent.status().refusals, before + 1)


class TestContent(SignTest):
    def test_bare_digest(self):
        for size in (20, 32, 48, 64):
            with self.subTest(size=size):
                self.assert_not_signed(os.urandom(size), kind=Kind.DIGEST)
                self.assert_not_signed(os.urandom(size), kind=Kind.TLS13)
                self.assert_not_signed(os.urandom(size), kind=Kind.TLS12)

    def test_digest_refusal_says_what_to_change(self):
        self.assertIn("sign = digest", self.assert_not_signed(bytes(32), kind=Kind.DIGEST).text)

    def test_bare_message_for_ed25519(self):
        self.assert_not_signed(b"anything", "ed", wire.ED25519, Kind.DIGEST)

    def test_unknown_kind(self):
        for kind in (0, 4, 5, 127, 255):
            with self.subTest(kind=kind):
                self.assert_not_signed(certificate_verify(), kind=kind)
        self.assert_signs(self.wire, self.key("p256"))

    def test_content_of_the_other_kind(self):
        self.assert_not_signed(certificate_verify(), kind=Kind.TLS12)
        self.assert_not_signed(certificate_verify()[98:], kind=Kind.DIGEST)

    def test_context_of_another_role_or_protocol(self):
        for context in (b"TLS 1.3, server CertificateVerify", b"TLS, client delegated credentials",
                        b"TLS, server delegated credentials", b"Exported Authenticator",
                        b"tls 1.3, client CertificateVerify", b"TLS 1.3, client CertificateVerifx",
                        b"DTLS1.3, client CertificateVerify", b"QUIC, client CertificateVerify"):
            for size in (32, 48):
                with self.subTest(context=context, size=size):
                    self.assert_not_signed(certificate_verify(os.urandom(size), context))

    def test_other_context_stretched_to_the_right_length(self):
        context = b"Exported Authenticator"
        missing = len(CLIENT_CONTEXT) - len(context)
        self.assert_not_signed(certificate_verify(os.urandom(32 + missing), context))
        self.assert_not_signed(certificate_verify(context=context, padding=b" " * (64 + missing)))

    def test_every_other_length(self):
        whole = certificate_verify(os.urandom(64))
        for size in (*range(0, 130), 131, 145, 147, 162):
            self.assert_not_signed(whole[:size])

    def test_length_of_other_hashes(self):
        for size in (20, 28, 31, 33, 47, 49, 64):
            with self.subTest(size=size):
                self.assert_not_signed(certificate_verify(os.urandom(size)))

    def test_padding_of_the_wrong_length(self):
        for count in (0, 63, 65):
            with self.subTest(count=count):
                self.assert_not_signed(certificate_verify(padding=b" " * count))
                filled = certificate_verify(os.urandom(32 + 64 - count), padding=b" " * count)
                self.assertEqual(len(filled), 130)
                self.assert_not_signed(filled)

    def test_other_byte_anywhere_in_the_fixed_part(self):
        good = certificate_verify()
        for at in range(98):
            for value in (0x09, 0x00, good[at] ^ 0x20, good[at] ^ 0x01):
                if value != good[at]:
                    self.assert_not_signed(good[:at] + bytes([value]) + good[at + 1:])

    def test_large_content(self):
        for size in (1000, 100_000, 262_000):
            self.assert_not_signed(b" " * size)


class TestOtherProtocols(SignTest):
    """Real messages that other programs would like to have signed."""

    def assert_signed_by_no_kind(self, content):
        for label, scheme in (("p256", wire.ECDSA_SHA256), ("rsa", wire.RSA_PSS_SHA256),
                              ("ed", wire.ED25519)):
            for kind in Kind:
                self.assert_not_signed(content, label, scheme, kind)

    def test_certificate_request(self):
        with tempfile.TemporaryDirectory() as tmp:
            csr = Path(tmp) / "csr.der"
            subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", Path(tmp) / "key",
                            "-subj", "/CN=x", "-outform", "DER", "-out", csr],
                           check=True, capture_output=True)
            info = _first_element(csr.read_bytes())
        self.assertEqual(info[0], 0x30)
        self.assert_signed_by_no_kind(info)

    def test_certificate_to_be_signed(self):
        self.assert_signed_by_no_kind(_first_element(self.key("p256").cert_der))

    def test_json_web_token(self):
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
                 for part in ({"alg": "ES256", "typ": "JWT"}, {"sub": "root", "iat": 1})]
        self.assert_signed_by_no_kind(b".".join(parts))

    def test_ssh_user_authentication(self):
        def ssh(data):
            return struct.pack(">I", len(data)) + data
        for session in (os.urandom(32), os.urandom(64)):
            self.assert_signed_by_no_kind(
                ssh(session) + b"\x32" + ssh(b"root") + ssh(b"ssh-connection") + ssh(b"publickey") +
                b"\1" + ssh(b"ecdsa-sha2-nistp256") + ssh(os.urandom(104)))

    def test_ssh_signature(self):
        def ssh(data):
            return struct.pack(">I", len(data)) + data
        self.assert_signed_by_no_kind(b"SSHSIG" + ssh(b"file") + ssh(b"") + ssh(b"sha512") +
                                      ssh(hashlib.sha512(b"x").digest()))

    def test_tls12_server_key_exchange(self):
        params = b"\3\0\x17\x41" + os.urandom(65)
        self.assert_signed_by_no_kind(os.urandom(64) + params)

    def test_signed_attributes_of_cms(self):
        attributes = bytes.fromhex("3181b1301806092a864886f70d010903310b06092a864886f70d010701")
        self.assert_signed_by_no_kind(attributes + os.urandom(101))

    def test_text(self):
        self.assert_signed_by_no_kind(b"tree 0123\nauthor a <a@b> 0 +0000\n\nmessage\n")
        self.assert_signed_by_no_kind(b"")


class TestScheme(SignTest):
    def assert_scheme_refused(self, label, scheme):
        with self.subTest(key=label, scheme=hex(scheme)):
            self.assert_not_signed(certificate_verify(), label, scheme)

    def test_scheme_of_another_key_type(self):
        self.assert_scheme_refused("rsa", wire.ECDSA_SHA256)
        self.assert_scheme_refused("rsa", wire.ED25519)
        self.assert_scheme_refused("ed", wire.ECDSA_SHA256)
        for scheme in (*RSA_SCHEMES, *PKCS1_SCHEMES, wire.ED25519):
            self.assert_scheme_refused("p256", scheme)

    def test_rsa_scheme_of_the_other_key_identifier(self):
        for scheme in PSS_PSS_SCHEMES:
            self.assert_scheme_refused("rsa", scheme)

    def test_pkcs1_in_tls13(self):
        for scheme in PKCS1_SCHEMES:
            self.assert_scheme_refused("rsa", scheme)

    def test_curve_of_another_scheme_in_tls13(self):
        for label in EC_SCHEMES:
            for other, scheme in EC_SCHEMES.items():
                if other != label:
                    self.assert_scheme_refused(label, scheme)

    def test_sha1_and_md5(self):
        for label in ("rsa", "p256"):
            for scheme in SHA1_SCHEMES.values():
                self.assert_scheme_refused(label, scheme)

    def test_unknown_scheme(self):
        for scheme in (0, 0x0303, 0x0808, 0x0904, 0xFFFF, 0x10403, 0xFFFFFFFF):
            self.assert_scheme_refused("p256", scheme)


class TestDigestKey(ServedTest):
    """A key whose policy allows bare digests: of the right length, and still nothing malformed."""

    KEYS = {"work": "EC:prime256v1", "rsa": "rsa:2048"}
    SECTIONS = ("[key work]\nuri = pkcs11:object=work\nsign = digest\n"
                "[key rsa]\nuri = pkcs11:object=rsa\nsign = digest\n")

    def test_digest_is_signed(self):
        content = b"any content at all"
        for label, scheme in (("work", wire.ECDSA_SHA256), ("rsa", wire.RSA_PSS_SHA256),
                              ("rsa", wire.RSA_PKCS1_SHA256)):
            with self.subTest(key=label, scheme=hex(scheme)):
                signature = self.client().sign(self.key(label).hash, scheme, Kind.DIGEST,
                                               tls_messages.digest(content))
                self.assertTrue(tls_messages.is_signature(self.key(label).spki, scheme, content,
                                                          signature))

    def test_digest_of_another_length_is_refused(self):
        for size in (0, 20, 31, 33, 48, 64, 1000):
            with self.subTest(size=size):
                self.assert_refused(Code.POLICY, self.client().sign, self.key().hash,
                                    wire.ECDSA_SHA256, Kind.DIGEST, bytes(size))

    def test_tls13_content_is_checked_all_the_same(self):
        self.assert_signs(self.client(), self.key())
        self.assert_refused(Code.POLICY, self.client().sign, self.key().hash, wire.ECDSA_SHA256,
                            Kind.TLS13, certificate_verify()[:-1])


def _first_element(der):
    """The first element inside a DER SEQUENCE: what a certificate or a request has signed."""
    def header(data):
        if data[1] < 0x80:
            return 2, data[1]
        count = data[1] & 0x7F
        return 2 + count, int.from_bytes(data[2:2 + count], "big")
    inner = der[header(der)[0]:]
    start, size = header(inner)
    return inner[:start + size]


if __name__ == "__main__":
    harness.main()
