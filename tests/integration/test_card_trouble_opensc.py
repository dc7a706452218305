# SPDX-License-Identifier: Apache-2.0
"""What happens to cards, readers and pcscd, seen through opensc-pkcs11.so."""

import wire
from card_trouble import TroubleRows
from harness import main


class TestOpensc(TroubleRows):
    """The driver tells pcscd of a change at once."""

    def test_request_that_waits_for_pcscd(self):
        with self.trouble() as agent, agent.connect() as client, agent.connect() as person:
            person.subscribe(wire.WAITING)
            self.the_pcscd.kill()
            self.wait_readers_told(agent)
            finish = self.ask(client)
            self.assertIn("pcscd", self.told(person, agent))
            self.the_pcscd.start()
            self.assert_soon(finish)


class TestOpenscPolled(TroubleRows):
    """pcscd looks every 400 ms: requests meet the module before it knows."""

    POLLED = True


del TroubleRows

if __name__ == "__main__":
    main()
