# SPDX-License-Identifier: Apache-2.0
"""A YubiKey through libykcs11.so and the machine's pcscd."""

from card_rows import CardRows
from harness import main
from pcsc import YUBIKEY


class TestYubikey(CardRows):
    READER = YUBIKEY
    YUBIKEY = "5.4.3"


del CardRows

if __name__ == "__main__":
    main()
