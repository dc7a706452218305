# SPDX-License-Identifier: Apache-2.0
"""An agent that takes requests and never answers: programs get their error at the deadline.

A file of its own, because the deadline of the library is a minute.
"""

import signal
import time

from e2e import E2ETest, Program, main

DEADLINE = 60.0  # MTLS_AGENT_DEADLINE_MS


class TestSilence(E2ETest):
    def test_stopped_agent(self):
        program = Program(self)
        self.assertEqual(program.say("get"), "CN=work")
        self.agent.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        try:
            said = program.say("get", deadline=DEADLINE + 10)
        finally:
            self.agent.process.send_signal(signal.SIGCONT)
        self.assertIn("error", said)
        self.assertLess(time.monotonic() - start, DEADLINE + 2)
        self.assertEqual(program.say("get"), "CN=work")


if __name__ == "__main__":
    main()
