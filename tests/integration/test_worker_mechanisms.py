# SPDX-License-Identifier: Apache-2.0
"""Tokens that lack a mechanism, or that list one and refuse it: what a key is shown to be able to
do is what it can do."""

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind

CKM_RSA_PKCS, CKM_RSA_X_509, CKM_RSA_PKCS_PSS, CKM_ECDSA, CKM_EDDSA = 1, 3, 0xd, 0x1041, 0x1057
PSS = [wire.RSA_PSS_SHA256, wire.RSA_PSS_SHA384, wire.RSA_PSS_SHA512]
PKCS1 = [0x0401, 0x0501, 0x0601]

NO_PSS = f"no-mechanism {CKM_RSA_PKCS_PSS:x}"
NO_RAW_RSA = f"no-mechanism {CKM_RSA_X_509:x}"


class MechanismTest(FaultTest):
    def rsa(self, *rules, kind="rsa:2048", **options):
        token = self.faulty_token({"work": kind}, **options)
        token.rules(*rules)
        return token, self.serve(token, workers=1)

    def schemes(self, client, key):
        return next(k.schemes for k in client.keys() if k.hash == key.hash)

    def assert_signs_tls12(self, client, token, label="work"):
        """With PKCS#1 v1.5, which only TLS 1.2 has."""
        key = token.keys[label]
        self.assert_signs(client, key, wire.RSA_PKCS1_SHA256, Kind.TLS12,
                          tls_messages.Tls12(token.ca, key.cert_der).content())


class TestPssMadeHere(MechanismTest):
    def test_token_with_raw_rsa_only_signs_pss(self):
        token, agent = self.rsa(NO_PSS)
        client, key = self.connect(agent), token.keys["work"]
        self.assertEqual(self.schemes(client, key), PSS + PKCS1)
        for scheme in PSS:
            for _ in range(3):
                self.assert_signs(client, key, scheme)

    def test_keys_of_odd_sizes(self):
        token = self.faulty_token({"a": "rsa:2049", "b": "rsa:2041", "c": "rsa:1032"})
        token.rules(NO_PSS)
        client = self.connect(self.serve(token, workers=1))
        for label in "abc":
            self.assert_signs(client, token.keys[label], wire.RSA_PSS_SHA256)

    def test_garbage_of_raw_rsa_is_withheld(self):
        """Even where nothing else is verified: the padding is the worker's own."""
        token = self.faulty_token({"work": "rsa:2048"})
        token.rules(NO_PSS, "C_Sign flip 1")
        client = self.connect(self.serve(token, workers=1, verify="never"))
        key = token.keys["work"]
        refusal = self.assert_refused(Code.INTERNAL, client.sign, key.hash, wire.RSA_PSS_SHA256,
                                      Kind.TLS13, tls_messages.certificate_verify())
        self.assertIn("withheld", refusal.text)
        self.assert_signs(client, key, wire.RSA_PSS_SHA256)

    def test_pss_that_is_listed_but_refused_falls_back_and_is_remembered(self):
        for code in ("70", "71"):
            with self.subTest(code):
                token, agent = self.rsa(f"refuse-mechanism {CKM_RSA_PKCS_PSS:x} {code}")
                client, key = self.connect(agent), token.keys["work"]
                self.assert_signs(client, key, wire.RSA_PSS_SHA256)
                before = token.calls("C_SignInit")
                self.assert_signs(client, key, wire.RSA_PSS_SHA256)
                self.assertEqual(token.calls("C_SignInit") - before, 1, "it was asked again")
                self.assertEqual(self.schemes(client, key), PSS + PKCS1)

    def test_tokens_own_pss_is_used_where_it_works(self):
        token, agent = self.rsa(f"refuse-mechanism {CKM_RSA_X_509:x}")
        self.assert_signs(self.connect(agent), token.keys["work"], wire.RSA_PSS_SHA256)
        self.assertEqual(token.calls("C_SignInit"), 1)


class TestUnfitForTls13(MechanismTest):
    def assert_says_so(self, client, key):
        refusal = self.assert_refused(Code.POLICY, client.sign, key.hash, wire.RSA_PSS_SHA256,
                                      Kind.TLS13, tls_messages.certificate_verify())
        for word in ("TLS 1.2", "CKM_RSA_PKCS_PSS", "CKM_RSA_X_509"):
            self.assertIn(word, refusal.text)

    def test_token_without_either_is_for_tls12(self):
        token, agent = self.rsa(NO_PSS, NO_RAW_RSA)
        client, key = self.connect(agent), token.keys["work"]
        self.assertEqual(self.schemes(client, key), PKCS1)
        before = token.calls("C_SignInit")
        self.assert_says_so(client, key)
        self.assertEqual(token.calls("C_SignInit"), before, "the token was asked")
        self.assert_signs_tls12(client, token)

    def test_refusal_of_both_is_learned_and_listed(self):
        token, agent = self.rsa(f"refuse-mechanism {CKM_RSA_PKCS_PSS:x}",
                                f"refuse-mechanism {CKM_RSA_X_509:x}")
        client, key = self.connect(agent), token.keys["work"]
        self.assertEqual(self.schemes(client, key), PSS + PKCS1)
        refusal = self.assert_refused(Code.POLICY, client.sign, key.hash, wire.RSA_PSS_SHA256,
                                      Kind.TLS13, tls_messages.certificate_verify())
        for word in ("rsa_pss_rsae_sha256", "CKR_MECHANISM_INVALID", "mtls list"):
            self.assertIn(word, refusal.text)
        self.assertEqual(self.schemes(client, key), PKCS1)
        self.assert_says_so(client, key)
        self.assert_signs_tls12(client, token)


class TestKeysOfNoUse(MechanismTest):
    """No mechanism at all: not listed, and the log says why."""

    def test_elliptic_keys_without_their_mechanism_are_not_listed(self):
        kinds = {"ec": "EC:prime256v1", "ed": "EC:edwards25519", "rsa": "rsa:2048"}
        token = self.faulty_token(kinds)
        for label, mechanism in (("ec", CKM_ECDSA), ("ed", CKM_EDDSA)):
            with self.subTest(label):
                token.rules(f"no-mechanism {mechanism:x}")
                agent = self.serve(token, ready=False, workers=1)
                keys = agent.wait_keys(2)
                self.assertNotIn(token.keys[label].hash, [key.hash for key in keys])
                self.assertEqual(len(keys), 2)
                agent.wait_for_log(f'key .?"{label}.?" is left out')
                agent.stop()

    def test_key_that_may_not_sign_leaves_the_list_when_it_is_found_out(self):
        """As OpenSC with the key in a card's slot 9d, which is for key agreement."""
        for code in ("63", "68"):  # CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_FUNCTION_NOT_PERMITTED
            with self.subTest(code):
                token = self.faulty_token({"work": "EC:prime256v1", "rsa": "rsa:2048"})
                token.rules(f"refuse-mechanism {CKM_ECDSA:x} {code}")
                agent = self.serve(token, workers=1)
                client = self.connect(agent)
                self.assert_refused(Code.POLICY, client.sign, token.keys["work"].hash,
                                    wire.ECDSA_SHA256, Kind.TLS13,
                                    tls_messages.certificate_verify())
                self.assertEqual([key.label for key in client.keys()], ["rsa"])


if __name__ == "__main__":
    main()
