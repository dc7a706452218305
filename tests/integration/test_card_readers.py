# SPDX-License-Identifier: Apache-2.0
"""Readers, and pcscd with them, as any of its clients sees them: what the other tests stand on."""

import subprocess
import time

from harness import main, poll_until
from pcsc import GENERIC, YUBIKEY, CardTest

SELECT = "00a4040005a000000308"
SECOND = "Second Reader"
SHARING_VIOLATION = "SCardConnect: 0x8010000B"


class TestReaders(CardTest):
    def present(self, pcscd):
        return {reader for reader, state in pcscd.states().items() if state["present"]}

    def sign(self, pcscd, card, login=None):
        message = card.dir / "message"
        message.write_bytes(bytes(32))
        return self.start_process(
            "pkcs11-tool", "--module", card.module, "--login",
            *(["--pin", card.identity.pin] if login is None else login), "--sign",
            "--id", "01", "--mechanism", "ECDSA", "-i", message, "-o", card.dir / "signature",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", **pcscd.environment})

    def test_card_goes_in_and_out(self):
        pcscd = self.pcscd([GENERIC, SECOND])
        card = self.card(pcscd)
        self.assertEqual(self.present(pcscd), set())
        card.insert(SECOND)
        self.assertEqual(self.present(pcscd), {SECOND})
        card.insert(GENERIC)  # from one reader into the other
        pcscd.wait_absent(SECOND)
        self.assertEqual(self.present(pcscd), {GENERIC})
        card.remove()
        self.assertEqual(self.present(pcscd), set())

    def test_reader_is_polled_or_tells_by_itself(self):
        """By itself: without a word from the driver pcscd would look again in ten minutes."""
        for polled, line in ((False, "Using the reader polling thread"),
                             (True, "Using the pcscd polling thread")):
            with self.subTest(polled=polled):
                pcscd = self.pcscd(polled=polled)
                self.assertIn(line, pcscd.log())
                card = self.card(pcscd)
                for _ in range(3):
                    card.insert()
                    self.assertEqual(self.present(pcscd), {GENERIC})
                    card.remove()
                    self.assertEqual(self.present(pcscd), set())

    def test_fast_swap_is_seen(self):
        pcscd = self.pcscd()
        first, second = self.card(pcscd, name="first"), self.card(pcscd, name="second")
        first.insert()
        for _ in range(5):
            first.swap(second)
            self.assertEqual(self.present(pcscd), {GENERIC})
            first, second = second, first
        self.assertEqual(pcscd.log().count("Card Removed From"), 5)

    def test_hung_card_can_be_pulled(self):
        pcscd = self.pcscd([GENERIC, SECOND])
        hung, other = self.card(pcscd, name="hung"), self.card(pcscd, name="other")
        hung.insert(GENERIC)
        hung.hang()
        signing = self.sign(pcscd, hung)
        hung.wait_signing()
        other.insert(SECOND)  # the other reader is not disturbed
        self.assertEqual(pcscd.transmit(SELECT, reader=SECOND)[0][-2:].hex(), "9000")
        self.assertIsNone(signing.poll())
        hung.remove()
        self.assertNotEqual(signing.wait(5), 0)

    def test_card_that_is_let_go_on_answers(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        card.hang()
        signing = self.sign(pcscd, card)
        card.wait_signing()
        card.unhang()
        self.assertEqual(signing.wait(5), 0, signing.stdout.read())
        self.assertEqual(card.status()["signatures"], 1)

    def test_cut(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        for command in ("sign", "any"):
            with self.subTest(command):
                card.insert()
                card.cut(command)
                self.assertNotEqual(self.sign(pcscd, card).wait(5), 0)
                card.wait_removed()
                pcscd.wait_absent(GENERIC)
                self.assertEqual(card.status()["signatures"], 0)

    def test_delay(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        card.delay(0.5)
        start = time.monotonic()
        self.assertEqual(self.sign(pcscd, card).wait(5), 0)
        self.assertGreater(time.monotonic() - start, 0.5)

    def test_card_held_by_another_program(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        holder = pcscd.hold()
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertTrue(pcscd.states()[GENERIC]["exclusive"])
        with self.assertRaisesRegex(AssertionError, SHARING_VIOLATION):
            pcscd.transmit(SELECT)
        holder.communicate()
        poll_until(lambda: not pcscd.states()[GENERIC]["exclusive"], what="the card is free")
        pcscd.transmit(SELECT)


class TestKeys(CardTest):
    """PINs that are typed at the reader."""

    def setUp(self):
        self.the_pcscd = self.pcscd(keys=True)
        self.the_card = self.card(self.the_pcscd)
        self.the_card.insert()
        self.signing = TestReaders.sign(self, self.the_pcscd, self.the_card, login=[])

    def test_right_pin(self):
        self.the_card.type(self.the_card.identity.pin)
        self.assertEqual(self.signing.wait(5), 0)
        self.assertEqual(self.the_card.status()["verifies"], 1)
        self.assertEqual(self.the_card.status()["signatures"], 1)

    def test_wrong_pin(self):
        self.the_card.type("999999")
        self.assertNotEqual(self.signing.wait(5), 0)
        self.assertEqual(self.the_card.status()["tries"], 2)

    def test_cancelled(self):
        self.the_card.cancel()
        self.assertNotEqual(self.signing.wait(5), 0)
        self.assertEqual(self.the_card.status()["verifies"], 0)

    def test_pulled_while_it_asks(self):
        self.the_card.wait_asked()
        self.the_card.remove()
        self.assertNotEqual(self.signing.wait(5), 0)


class TestPcscd(CardTest):
    def test_killed_and_started_again(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        pcscd.kill()
        self.assertFalse(card.status()["inserted"])
        self.assertNotEqual(pcscd.run_unchecked("opensc-tool", "--atr").returncode, 0)
        pcscd.start()
        pcscd.wait_present(GENERIC)
        pcscd.run("opensc-tool", "--name")

    def test_restarted_with_other_readers(self):
        pcscd = self.pcscd([GENERIC, YUBIKEY])
        card = self.card(pcscd)
        card.insert(YUBIKEY)
        pcscd.restart([GENERIC])
        self.assertEqual(pcscd.states(), {GENERIC: {"present": False, "exclusive": False,
                                                    "in_use": False}})
        pcscd.restart([GENERIC, YUBIKEY])
        pcscd.wait_present(YUBIKEY)

    def test_two_side_by_side(self):
        first, second = self.pcscd([GENERIC]), self.pcscd([YUBIKEY])
        self.card(first).insert()
        self.assertEqual(list(first.states()), [GENERIC])
        self.assertEqual(list(second.states()), [YUBIKEY])
        second.kill()
        self.assertTrue(first.states()[GENERIC]["present"])

    def test_stops_with_a_hung_card(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        card.hang()
        signing = TestReaders.sign(self, pcscd, card)
        card.wait_signing()
        pcscd.stop()
        self.assertNotEqual(signing.wait(10), 0)


if __name__ == "__main__":
    main()
