# SPDX-License-Identifier: Apache-2.0
"""A module that answers CKR_OK with something that is no signature: it never reaches a client."""

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind

RSA, EC = ("rsa:2048", wire.RSA_PSS_SHA256), ("EC:prime256v1", wire.ECDSA_SHA256)
NO_SIGNATURES = ("garbage", "flip", "short", "long", "len0", "too-small", "zero-r", "zero-s")


class TestBadSignature(FaultTest):
    """One agent for all rules of a test: it must go on after each of them."""

    def sign(self, client, key, scheme):
        content = tls_messages.certificate_verify()
        return content, client.sign(key.hash, scheme, Kind.TLS13, content)

    def assert_withheld(self, kind, rules=(), warm_up=False, **options):
        key_type, scheme = kind
        token = self.faulty_token({"work": key_type})
        token.rules(*rules)
        agent = self.serve(token, workers=1, **options)
        key = token.keys["work"]
        with agent.connect() as client:
            for fault in NO_SIGNATURES:
                with self.subTest(fault):
                    token.rules(*rules)
                    if warm_up:
                        self.assert_signs(client, key, scheme)
                    token.rules(*rules, f"C_Sign {fault}")
                    self.assert_refused(Code.INTERNAL, self.sign, client, key, scheme)
                    token.rules(*rules)
                    self.assert_signs(client, key, scheme)
        self.assert_serves(agent)

    def test_p256_verified_always(self):
        self.assert_withheld(EC, verify="always", warm_up=True)

    def test_p256_first_of_each_worker(self):
        """verify = auto trusts a software token after it made one good signature."""
        for fault in NO_SIGNATURES:
            with self.subTest(fault):
                token = self.faulty_token()
                token.rules(f"C_Sign {fault} 1")
                agent = self.serve(token, workers=1, verify="auto")
                with agent.connect() as client:
                    self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"],
                                        wire.ECDSA_SHA256)
                    self.assert_signs(client, token.keys["work"])

    def test_p256_of_a_hardware_token(self):
        self.assert_withheld(EC, rules=["hardware"], verify="auto", warm_up=True)

    def test_rsa_every_signature(self):
        self.assert_withheld(RSA, verify="auto", warm_up=True)

    def test_lengths_are_checked_without_verification(self):
        """verify = never trusts the bytes, not their form."""
        token = self.faulty_token()
        agent = self.serve(token, verify="never", workers=1)
        with agent.connect() as client:
            for fault in ("short", "long", "len0", "too-small", "zero-r", "zero-s"):
                with self.subTest(fault):
                    token.rules(f"C_Sign {fault}")
                    self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"],
                                        wire.ECDSA_SHA256)
                    token.rules()
                    self.assert_signs(client, token.keys["work"])

    def test_high_s_is_a_good_signature(self):
        token = self.faulty_token()
        token.rules("C_Sign high-s")
        agent = self.serve(token, verify="always")
        with agent.connect() as client:
            for _ in range(4):
                self.assert_signs(client, token.keys["work"])

    def test_buffer_too_small_is_not_tried_for_ever(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        before = token.calls("C_Sign")
        token.rules("C_Sign too-small")
        with agent.connect() as client:
            self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"],
                                wire.ECDSA_SHA256)
        self.assertLessEqual(token.calls("C_Sign") - before, 4)

    def test_failure_is_counted_and_not_as_a_signature(self):
        token = self.faulty_token()
        agent = self.serve(token, verify="always")
        before = agent.status()
        token.rules("C_Sign flip")
        with agent.connect() as client:
            self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"],
                                wire.ECDSA_SHA256)
        after = agent.status()
        self.assertEqual(after.signatures, before.signatures)
        self.assertEqual(after.failures, before.failures + 1)


ATTRIBUTES = {
    "CKA_CLASS": "0", "CKA_LABEL": "3", "CKA_VALUE": "11", "CKA_KEY_TYPE": "100", "CKA_ID": "102",
    "CKA_SIGN": "108", "CKA_MODULUS": "120", "CKA_PUBLIC_EXPONENT": "122",
    "CKA_EC_PARAMS": "180", "CKA_EC_POINT": "181", "CKA_ALWAYS_AUTHENTICATE": "202",
}


class TestBadAttributes(FaultTest):
    """Lengths that are no multiple, "unavailable", lengths that grow: the worker is not misled.

    A key may be missing afterwards; what is shown signs correctly, or says what is wrong.
    """

    def assert_survives(self, fault):
        token = self.faulty_token({"work": "EC:prime256v1", "rsa": "rsa:2048"})
        for name, code in ATTRIBUTES.items():
            with self.subTest(name):
                token.rules(f"attr {fault} {code}")
                agent = self.serve(token, ready=False, workers=1)
                self.wait_module(agent, lambda m: m.state != wire.ModuleState.STARTING)
                self.wait_token(agent, lambda t: t.state == wire.TokenState.READY)
                with agent.connect() as client:
                    for key in client.keys():
                        self.check(token, client, key)
                self.assertEqual(self.module(agent).restarts, 0)
                agent.stop()

    def check(self, token, client, key):
        """A good signature or none; none for a key that is not the token's."""
        scheme = wire.RSA_PSS_SHA256 if key.type == wire.KeyType.RSA else wire.ECDSA_SHA256
        try:
            self.assert_signs(client, key, scheme)
            self.assertIn(key.spki, [mine.spki for mine in token.keys.values()])
        except wire.Refused as refusal:
            self.assertTrue(refusal.text)

    def test_bad_length(self):
        self.assert_survives("bad-length")

    def test_unavailable(self):
        self.assert_survives("unavailable")

    def test_growing(self):
        self.assert_survives("growing")


if __name__ == "__main__":
    main()
