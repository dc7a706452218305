# SPDX-License-Identifier: Apache-2.0
"""The private keys of a card: the kinds that PIV knows, what GENERAL AUTHENTICATE does with them.

Spec: SP 800-78-4 table 6-2 (algorithm identifiers), SP 800-73-4 part 2 section 3.2.4.
"""

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from . import tlv

_CURVES = {"EC:prime256v1": ec.SECP256R1, "EC:secp384r1": ec.SECP384R1}
_EC_ALGORITHM = {256: 0x11, 384: 0x14}
_RSA_ALGORITHM = {1024: 0x06, 2048: 0x07}
_HASHES = {h.digest_size: h for h in (hashes.SHA1(), hashes.SHA224(), hashes.SHA256(),
                                      hashes.SHA384(), hashes.SHA512())}


def generate(kind):
    """@kind: as pkcs11-tool names them: rsa:2048, EC:prime256v1, EC:secp384r1."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind]())
    name, _, bits = kind.partition(":")
    if name != "rsa":
        raise ValueError(f"a PIV card has no keys of kind {kind}")
    return rsa.generate_private_key(65537, int(bits))


def load(pem):
    key = serialization.load_pem_private_key(pem, None)
    return RsaKey(key) if isinstance(key, rsa.RSAPrivateKey) else EcKey(key)


def to_pem(private_key):
    return private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption())


def public_pem(private_key):
    return private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki(private_key):
    return private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class RsaKey:
    """Raw RSA: the padding is the other side's."""

    def __init__(self, key):
        self.algorithm = _RSA_ALGORITHM[key.key_size]
        self.size = key.key_size // 8
        self.private = key.private_numbers()

    def public(self):
        """As GENERATE and metadata show it: modulus and exponent."""
        numbers = self.private.public_numbers
        return tlv.encode(0x81, numbers.n.to_bytes(self.size, "big")) + \
            tlv.encode(0x82, numbers.e.to_bytes(3, "big"))

    def sign(self, block):
        if len(block) != self.size:
            raise ValueError("not as long as the modulus")
        number = int.from_bytes(block, "big")
        if number >= self.private.public_numbers.n:
            raise ValueError("greater than the modulus")
        p = pow(number, self.private.dmp1, self.private.p)
        q = pow(number, self.private.dmq1, self.private.q)
        h = (p - q) * self.private.iqmp % self.private.p
        return (q + h * self.private.q).to_bytes(self.size, "big")

    def exchange(self, _point):
        raise ValueError("no key agreement with RSA")


class EcKey:
    """ECDSA over a hash, DER as answer; ECDH with an uncompressed point."""

    def __init__(self, key):
        self.algorithm = _EC_ALGORITHM[key.curve.key_size]
        self.key = key

    def public(self):
        return tlv.encode(0x86, self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint))

    def sign(self, digest):
        if len(digest) not in _HASHES:
            raise ValueError("not as long as any hash")
        return self.key.sign(digest, ec.ECDSA(Prehashed(_HASHES[len(digest)])))

    def exchange(self, point):
        peer = ec.EllipticCurvePublicKey.from_encoded_point(self.key.curve, point)
        return self.key.exchange(ec.ECDH(), peer)
