# SPDX-License-Identifier: Apache-2.0
"""What happens to cards, readers and pcscd, seen through libykcs11.so."""

from card_trouble import TroubleRows
from harness import main
from pcsc import YUBIKEY


class TestYubikey(TroubleRows):
    """The driver tells pcscd of a change at once."""

    READER = YUBIKEY
    YUBIKEY = "5.4.3"


class TestYubikeyPolled(TroubleRows):
    """pcscd looks every 400 ms: requests meet the module before it knows."""

    READER = YUBIKEY
    YUBIKEY = "5.4.3"
    POLLED = True


del TroubleRows

if __name__ == "__main__":
    main()
