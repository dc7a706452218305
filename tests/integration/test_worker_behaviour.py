# SPDX-License-Identifier: Apache-2.0
"""A module that disturbs its process or talks without end: it stays within the worker."""

import os
import re
import sys
import tempfile

from faults import FaultTest, main
from harness import needs_root
from wire import ModuleState

SPAM = 50 * 1000 * 1000  # bytes
GIGABYTE = 1000 * 1000 * 1000
LOG_MAX = 200 * 1000     # bytes that may come of it in the agent's log


class TestChildOfTheModule(FaultTest):
    def test_it_cannot_keep_the_agent_busy(self):
        """The module's process ends, but a child of it still sends what no worker sends."""
        token = self.faulty_token()
        helpers = tempfile.TemporaryDirectory(prefix="mtls-helpers-")
        self.addCleanup(helpers.cleanup)
        script = os.path.join(helpers.name, "token-worker")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable} -IS\n"
                       "import os\n"
                       "if 0 in [os.fork() for _ in range(4)]:\n"
                       "    while True:\n"
                       "        os.write(3, b'x')\n"
                       "os.read(3, 1)\n")
        os.chmod(script, 0o755)
        agent = self.serve(token, ready=False, workers=1,
                           agent_options={"env": {"MTLS_AGENT_LIBEXECDIR": helpers.name}})
        self.wait_module(agent, lambda m: m.state == ModuleState.BACKOFF)
        self.assert_serves(agent)
        self.assertLess(len(agent.log()), 10000)


class TestProcessState(FaultTest):
    def assert_contained(self, *actions, function="C_Initialize"):
        """The worker works nevertheless, and ends when it is told to."""
        token = self.faulty_token()
        token.rules(*(f"{function} {action}" for action in actions))
        agent = self.serve(token, workers=1)
        with agent.connect() as client:
            for _ in range(3):
                self.assert_signs(client, token.keys["work"])
        self.assertEqual(self.module(agent).restarts, 0)
        agent.stop()

    def test_closed_standard_descriptors(self):
        self.assert_contained("closefds")

    def test_closed_standard_descriptors_in_sign(self):
        self.assert_contained("closefds", function="C_SignInit")

    def test_changed_directory(self):
        self.assert_contained("chdir /proc")

    def test_blocked_signals(self):
        self.assert_contained("sigmask")

    def test_blocked_signals_in_sign(self):
        self.assert_contained("sigmask", function="C_SignInit")

    def test_changed_locale(self):
        self.assert_contained("setlocale C.UTF-8")

    def test_threads(self):
        self.assert_contained("thread", "thread", "thread", function="C_SignInit")

    def test_all_at_once(self):
        self.assert_contained("chdir /", "setlocale C", "thread", "sigmask", "closefds")

    @needs_root
    def test_changed_user(self):
        """Its own files may become unreadable to it; the agent and other modules go on."""
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, workers=1)
        token.rules("C_SignInit setuid 65534 1")
        with agent.connect() as client:
            self.ask(client, token.keys["work"])
            self.assert_signs(client, other.keys["healthy"])
        self.assert_serves(agent)
        self.assert_recovers(agent, token.keys["work"])


class TestOutput(FaultTest):
    def spammed(self, stream, size=SPAM):
        token = self.faulty_token()
        agent = self.serve(token, workers=1, timeout="100s")
        token.rules(f"C_SignInit {stream}-spam {size} 1")
        with agent.connect(deadline=100) as client:
            self.assert_signs(client, token.keys["work"])
        return agent

    def test_stderr_without_end_is_limited(self):
        agent = self.spammed("stderr", GIGABYTE)
        self.assert_serves(agent)
        self.assertLess(agent.log_file.stat().st_size, LOG_MAX)

    def test_stdout_without_end_is_limited(self):
        agent = self.spammed("stdout")
        self.assert_serves(agent)
        self.assertLess(agent.log_file.stat().st_size, LOG_MAX)

    def test_agent_answers_while_a_module_talks(self):
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, workers=1, timeout="30s")
        token.rules(f"C_SignInit stderr-spam {SPAM} 1")
        with agent.connect() as client, agent.connect() as neighbour:
            request = self.ask(client, token.keys["work"])
            token.wait_calls("C_SignInit")
            self.assertLess(self.timed(self.assert_signs, neighbour, other.keys["healthy"]), 2)
            client.wait(request)

    def test_what_it_says_is_escaped_and_marked(self):
        token = self.faulty_token()
        token.rules("C_Initialize stderr-spam 2000 1")
        agent = self.serve(token, workers=1)
        line = agent.wait_for_log(r".*p11fault .*").group()
        self.assertRegex(line, r"faulty")
        self.assertFalse(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", agent.log()), "control characters")
        self.assertFalse(any(l.startswith("<3>") for l in agent.log().splitlines()))

    def test_talking_does_not_make_a_module_fail(self):
        agent = self.spammed("stderr")
        self.assertEqual(self.module(agent).state, ModuleState.READY)
        self.assertEqual(self.module(agent).restarts, 0)


if __name__ == "__main__":
    main()
