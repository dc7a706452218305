# SPDX-License-Identifier: Apache-2.0
"""What a TLS client signs, built by hand, and the check of a signature with the openssl command.

RFC 8446 section 4.4.3 and RFC 5246 section 7.4.8. Every part of a TLS 1.2 handshake can be
replaced, so that a test can ask for exactly one deviation.
"""

import hashlib
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import softhsm
import wire

CLIENT_CONTEXT = b"TLS 1.3, client CertificateVerify"


def certificate_verify(transcript_hash=None, context=CLIENT_CONTEXT, padding=b" " * 64):
    """The 130 or 146 bytes that a TLS 1.3 client signs; a random hash when none is given."""
    return padding + context + b"\0" + (transcript_hash or os.urandom(32))


_VERIFY_OPTIONS = {
    wire.RSA_PKCS1_SHA256: ["-sha256"],
    wire.ECDSA_SHA256: ["-sha256"],
    wire.ECDSA_SHA384: ["-sha384"],
    wire.ECDSA_SHA512: ["-sha512"],
    **{scheme: [f"-sha{bits}", "-sigopt", "rsa_padding_mode:pss", "-sigopt",
                "rsa_pss_saltlen:digest"]
       for scheme, bits in ((wire.RSA_PSS_SHA256, 256), (wire.RSA_PSS_SHA384, 384),
                            (wire.RSA_PSS_SHA512, 512))},
}


def is_signature(spki, scheme, content, signature):
    """True when @signature over @content is the key's, by the rules of the TLS @scheme."""
    with tempfile.TemporaryDirectory() as tmp:
        public, message, sig = (Path(tmp) / name for name in ("public", "message", "signature"))
        public.write_bytes(softhsm.pem_from_spki(spki))
        message.write_bytes(content)
        sig.write_bytes(signature)
        if scheme == wire.ED25519:
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in",
                       message, "-sigfile", sig]
        else:
            command = ["openssl", "dgst", *_VERIFY_OPTIONS[scheme], "-verify", public, "-signature",
                       sig, message]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


# ---- TLS 1.2

CLIENT_HELLO, SERVER_HELLO, NEW_SESSION_TICKET, CERTIFICATE = 1, 2, 4, 11
HELLO_REQUEST, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE = 0, 12, 13, 14
CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED, CERTIFICATE_STATUS = 15, 16, 20, 22
EMS, RENEGOTIATION_INFO = 23, 0xFF01


def handshake(message_type, body):
    return bytes([message_type]) + len(body).to_bytes(3, "big") + body


def split(stream):
    """Handshake messages of a stream as (type, body)."""
    messages = []
    while stream:
        size = int.from_bytes(stream[1:4], "big")
        messages.append((stream[0], stream[4:4 + size]))
        stream = stream[4 + size:]
    return messages


def join(messages):
    return b"".join(handshake(kind, body) for kind, body in messages)


def vector(data, width):
    return len(data).to_bytes(width, "big") + data


def extensions(pairs):
    return vector(b"".join(struct.pack(">H", kind) + vector(data, 2) for kind, data in pairs), 2)


class Tls12:
    """The messages of one ECDHE handshake up to ClientKeyExchange, with a real server signature.

    @server: software CA (softhsm.CA) that makes the server's certificate
    @client_cert: DER of the client's certificate
    """

    def __init__(self, server_ca, client_cert):
        self.version = b"\x03\x03"
        self.client_random, self.server_random = os.urandom(32), os.urandom(32)
        self.client_extensions = [(10, vector(b"\0\x17", 2)), (13, vector(b"\4\3\x08\4", 2)),
                                  (EMS, b""), (RENEGOTIATION_INFO, b"\0")]
        self.server_extensions = [(RENEGOTIATION_INFO, b"\0"), (EMS, b"")]
        self.cipher_suite = b"\xc0\x2b"  # TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        self.client_cert = client_cert
        self._server_key, self._server_cert = server_identity(server_ca)
        self.point = bytes.fromhex(  # the base point of P-256: a valid public value
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")

    def client_hello(self):
        return self.version + self.client_random + b"\0" + vector(self.cipher_suite, 2) + \
            b"\1\0" + extensions(self.client_extensions)

    def server_hello(self):
        return self.version + self.server_random + b"\0" + self.cipher_suite + b"\0" + \
            extensions(self.server_extensions)

    def server_key_exchange(self):
        params = b"\3\0\x17" + vector(self.point, 1)
        signed = self.client_random + self.server_random + params
        return params + b"\4\3" + vector(_sign(self._server_key, signed), 2)

    def messages(self):
        return [
            (CLIENT_HELLO, self.client_hello()),
            (SERVER_HELLO, self.server_hello()),
            (CERTIFICATE, vector(vector(self._server_cert, 3), 3)),
            (SERVER_KEY_EXCHANGE, self.server_key_exchange()),
            (CERTIFICATE_REQUEST, b"\1\x40" + vector(b"\4\3\x08\4", 2) + b"\0\0"),
            (SERVER_HELLO_DONE, b""),
            (CERTIFICATE, vector(vector(self.client_cert, 3), 3)),
            (CLIENT_KEY_EXCHANGE, vector(self.point, 1)),
        ]

    def content(self):
        return join(self.messages())


def server_identity(ca):
    """A server key (file) and its certificate (DER), made once per CA."""
    key, cert = ca.dir / "server.key", ca.dir / "server.pem"
    if not cert.exists():
        softhsm.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-out", key)
        public = softhsm.run("openssl", "pkey", "-in", key, "-pubout")
        cert.write_bytes(ca.issue(public, "/CN=localhost", usage="serverAuth",
                                  names="DNS:localhost"))
    return key, softhsm.der_from_pem(cert.read_bytes())


def _sign(key, data):
    return softhsm.run("openssl", "dgst", "-sha256", "-sign", key, data=data)


def digest(content):
    return hashlib.sha256(content).digest()
