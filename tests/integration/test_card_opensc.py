# SPDX-License-Identifier: Apache-2.0
"""A PIV card through opensc-pkcs11.so and the machine's pcscd."""

from card_rows import CardRows
from harness import main
from wire import TokenState


class TestOpensc(CardRows):
    def test_key_that_wants_no_pin(self):
        agent = self.serve(ready=False, pin="ask")  # OpenSC shows the key before, ykcs11 does not
        self.wait_token(agent, TokenState.LOCKED)
        with agent.connect() as client:
            self.sign(client, "9e")
        self.assertEqual(self.the_card.status()["verifies"], 0)


del CardRows

if __name__ == "__main__":
    main()
