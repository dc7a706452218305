# SPDX-License-Identifier: Apache-2.0
"""The card in software itself, as OpenSC's programs see it: what the other tests stand on."""

import re

import softhsm
import tls_messages
import wire
from harness import main
from pcsc import GENERIC, YUBIKEY, CardTest

KINDS = {"9a": "EC:prime256v1", "9c": "rsa:2048", "9d": "EC:secp384r1"}
RSA_BLOCK = "7c8201068200" + "81820100" + "00" * 255 + "02"  # to be signed, for 2048 bits
SELECT = "00a4040005a000000308"
CK_ID = {"9a": "01", "9c": "02", "9d": "03"}


class TestCard(CardTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.the_pcscd = cls.class_pcscd()
        cls.the_card = cls.class_card(cls.the_pcscd, keys=KINDS, subjects={"9a": "/O=Lab/CN=Ann"})

    def setUp(self):
        self.the_card.make_new()
        self.the_card.insert()

    def apdu(self, command):
        """Status word and data of one command to the card, PIV being selected."""
        answer = self.the_pcscd.transmit(SELECT, command.replace(":", ""))[1]
        return int.from_bytes(answer[-2:], "big"), answer[:-2]

    def pkcs15(self, *args):
        """Whether pkcs15-tool did it."""
        return self.the_pcscd.run_unchecked("pkcs15-tool", *args).returncode == 0

    def tries(self):
        status = self.the_card.status()
        return status["tries"], status["puk_tries"]

    def test_opensc_knows_it_for_a_piv_card(self):
        name = self.the_pcscd.run("opensc-tool", "--name")
        self.assertIn("Personal Identity Verification Card", name)

    def test_certificate_has_the_subject_that_was_asked_for(self):
        pem = self.the_pcscd.run("pkcs15-tool", "--read-certificate", "01")
        text = softhsm.run("openssl", "x509", "-noout", "-subject", "-issuer", "-nameopt",
                           "RFC2253", data=pem.encode())
        self.assertIn("CN=Ann,O=Lab", text.decode())
        self.assertIn("CN=Test CA", text.decode())

    def test_signatures_verify(self):
        message = self.the_card.dir / "message"
        signature = self.the_card.dir / "signature"
        message.write_bytes(content := tls_messages.certificate_verify())
        for slot, mechanism, scheme in (
                ("9a", ["ECDSA-SHA256", "--signature-format", "openssl"], wire.ECDSA_SHA256),
                ("9d", ["ECDSA-SHA384", "--signature-format", "openssl"], wire.ECDSA_SHA384),
                ("9c", ["SHA256-RSA-PKCS"], wire.RSA_PKCS1_SHA256),
                ("9c", ["SHA256-RSA-PKCS-PSS"], wire.RSA_PSS_SHA256)):
            with self.subTest(mechanism):
                self.the_card.tool("--sign", "--id", CK_ID[slot], "--mechanism", *mechanism, "-i",
                                   message, "-o", signature, login=True)
                self.assertTrue(tls_messages.is_signature(
                    self.the_card.keys[slot].spki, scheme, content, signature.read_bytes()))

    def test_status_words(self):
        for text, status in (
                ("00:20:00:80", 0x63C3), ("00:20:00:81", 0x6A88), ("00:20:00:80:02:31:32", 0x6A80),
                ("00:FD:00:00:00", 0x6D00), ("00:CB:3F:FF:05:5C:03:5F:C1:03:00", 0x6A82),
                ("00:A4:04:00:05:A0:00:00:05:27:00", 0x6A82),
                ("00:87:11:9A:26:7C:24:82:00:81:20" + ":00" * 32, 0x6982),
                ("00:87:07:9A:26:7C:24:82:00:81:20" + ":00" * 32, 0x6A86),
                ("00:87:11:9B:26:7C:24:82:00:81:20" + ":00" * 32, 0x6A88)):
            with self.subTest(text):
                self.assertEqual(self.apdu(text)[0], status)

    def test_pin_after_a_right_one_is_known_until_reset(self):
        verify, look, forget = "0020008008" + b"123456\xff\xff".hex(), "00200080", "0020ff80"
        answers = self.the_pcscd.transmit(SELECT, verify, look, SELECT, look, forget, look)
        self.assertEqual([answer[-2:].hex() for answer in answers],
                         ["9000", "9000", "9000", "9000", "9000", "9000", "63c3"])
        self.the_pcscd.transmit(SELECT, verify)  # the card is reset at its end
        self.assertEqual(self.apdu(look)[0], 0x63C3)

    def test_long_object_in_parts_and_at_once(self):
        status, part = self.apdu("00:CB:3F:FF:05:5C:03:5F:C1:0A:00")
        self.assertEqual((status & 0xFF00, len(part)), (0x6100, 256))
        parts = self.the_pcscd.transmit(SELECT, "00cb3fff055c035fc10a00", *["00c0000000"] * 5)
        status, whole = self.apdu("00:CB:3F:FF:00:00:05:5C:03:5F:C1:0A:00:00")
        self.assertEqual(status, 0x9000)
        self.assertIn(self.the_card.keys["9c"].cert_der, whole)
        self.assertEqual(b"".join(part[:-2] for part in parts[1:])[:len(whole)], whole)

    def test_long_command_in_parts_and_at_once(self):
        verify = "0020008008" + b"123456\xff\xff".hex()
        block = RSA_BLOCK
        first, second = block[:510], block[510:]
        whole = self.the_pcscd.transmit(
            SELECT, verify, f"0087079c00{len(block) // 2:04x}{block}0000")[-1]
        parts = self.the_pcscd.transmit(
            SELECT, verify, f"1087079c{len(first) // 2:02x}{first}",
            f"0087079c{len(second) // 2:02x}{second}00", "00c0000000")
        self.assertEqual(parts[2].hex(), "9000")
        self.assertEqual(whole[-2:].hex(), "9000")
        self.assertEqual(parts[3][:-2] + parts[4], whole)

    def test_key_that_wants_the_pin_directly_before(self):
        verify = "0020008008" + b"123456\xff\xff".hex()
        sign = f"0087079c00{len(RSA_BLOCK) // 2:04x}{RSA_BLOCK}0000"
        answers = self.the_pcscd.transmit(SELECT, verify, sign, sign, verify, SELECT, sign)
        self.assertEqual([answer[-2:].hex() for answer in answers],
                         ["9000", "9000", "9000", "6982", "9000", "9000", "6982"])
        once = "008711" "9a" "26" "7c24" "8200" "8120" + "11" * 32 + "00"
        answers = self.the_pcscd.transmit(SELECT, once, verify, once, once)
        self.assertEqual([answer[-2:].hex() for answer in answers],
                         ["9000", "6982", "9000", "9000", "9000"])

    def test_pin_is_changed(self):
        self.assertFalse(self.pkcs15("--change-pin", "--pin", "111111", "--new-pin", "654321"))
        self.assertEqual(self.tries(), (2, 3))
        self.assertTrue(self.pkcs15("--change-pin", "--pin", "123456", "--new-pin", "654321"))
        self.assertEqual(self.tries(), (3, 3))
        self.assertFalse(self.pkcs15("--verify-pin", "--pin", "123456"))
        self.assertTrue(self.pkcs15("--verify-pin", "--pin", "654321"))

    def test_pin_blocks_and_the_puk_helps(self):
        for left in (2, 1, 0):
            self.assertFalse(self.pkcs15("--verify-pin", "--pin", "111111"))
            self.assertEqual(self.tries(), (left, 3))
        self.assertFalse(self.pkcs15("--verify-pin", "--pin", "123456"))
        self.assertFalse(self.pkcs15("--unblock-pin", "--puk", "11111111", "--new-pin", "654321"))
        self.assertEqual(self.tries(), (0, 2))
        self.assertTrue(self.pkcs15("--unblock-pin", "--puk", "12345678", "--new-pin", "654321"))
        self.assertEqual(self.tries(), (3, 3))
        self.assertTrue(self.pkcs15("--verify-pin", "--pin", "654321"))

    def test_puk_blocks(self):
        for left in (2, 1, 0):
            self.assertFalse(self.pkcs15("--unblock-pin", "--puk", "11111111", "--new-pin", "0000"))
            self.assertEqual(self.tries()[1], left)
        self.assertFalse(self.pkcs15("--unblock-pin", "--puk", "12345678", "--new-pin", "654321"))

    def test_statistics(self):
        self.the_card.make_new()
        self.the_card.insert()
        self.pkcs15("--verify-pin", "--pin", "111111")
        self.pkcs15("--verify-pin", "--pin", "123456")
        status = self.the_card.status()
        self.assertEqual(status["verifies"], 2)
        self.assertEqual(status["signatures"], 0)
        self.assertGreater(status["instructions"]["CB"], 0)


class TestTwoCards(CardTest):
    def serials(self, pcscd, module_of):
        return re.findall(r"serial num\s*: (\w+)", module_of.tool("-L"))

    def test_cards_have_serial_numbers_of_their_own(self):
        pcscd = self.pcscd([GENERIC, "Second Reader"])
        first, second = self.card(pcscd, name="first"), self.card(pcscd, name="second")
        first.insert(GENERIC)
        alone = self.serials(pcscd, first)
        second.insert("Second Reader")
        both = self.serials(pcscd, first)
        self.assertEqual(both[:1], alone)
        self.assertEqual(len(set(both)), 2)
        first.remove()
        first.make_new()
        first.insert(GENERIC)
        self.assertEqual(self.serials(pcscd, first)[:1], alone)

    def test_spare_has_the_key_and_not_the_serial_number(self):
        pcscd = self.pcscd([YUBIKEY])
        first = self.card(pcscd, name="first", yubikey="5.4.3")
        spare = self.card(pcscd, name="spare", yubikey="5.4.3", copy_of=first)
        seen = []
        for card in (first, spare):
            card.insert()
            public = card.dir / "public"
            card.tool("--read-object", "--type", "pubkey", "--id", "01", "-o", public)
            seen.append((public.read_bytes(), self.serials(pcscd, card)))
            card.remove()
        self.assertEqual(seen[0][0], seen[1][0])
        self.assertEqual([serials for _, serials in seen],
                         [[str(card.identity.serial)] for card in (first, spare)])


if __name__ == "__main__":
    main()
