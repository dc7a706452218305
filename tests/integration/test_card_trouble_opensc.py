# SPDX-License-Identifier: Apache-2.0
"""What happens to cards, readers and pcscd, seen through opensc-pkcs11.so."""

from card_trouble import TroubleRows
from harness import main


class TestOpensc(TroubleRows):
    """The driver tells pcscd of a change at once."""


class TestOpenscPolled(TroubleRows):
    """pcscd looks every 400 ms: requests meet the module before it knows."""

    POLLED = True


del TroubleRows

if __name__ == "__main__":
    main()
