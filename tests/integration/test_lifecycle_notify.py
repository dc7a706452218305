# SPDX-License-Identifier: Apache-2.0
"""What the service manager is told: ready, reloading, and a watchdog that means something."""

import os
import select
import signal
import time

import harness
from harness import IntegrationTest

WATCHDOG_USEC = 400_000


class TestNotify(IntegrationTest):
    def messages(self, agent, seconds):
        """Lines that arrive within @seconds."""
        lines, end = [], time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([agent._notify], [], [], left)[0]:
                return lines
            lines += agent._notify.recv(65536).decode().splitlines()

    def watched(self):
        agent = self.agent(start=False, env={"WATCHDOG_USEC": str(WATCHDOG_USEC)})
        return agent.start()

    def test_ready_comes_when_the_socket_listens(self):
        agent = self.agent()
        self.assert_serves(agent)

    def test_reload_has_the_time_that_systemd_wants(self):
        agent = self.agent()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        agent.reload()
        stamp = next(line for line in agent.notifications.splitlines()
                     if line.startswith("MONOTONIC_USEC="))
        self.assertGreaterEqual(int(stamp.partition("=")[2]), before)

    def test_watchdog_is_fed_in_time(self):
        agent = self.watched()
        fed = self.messages(agent, 2).count("WATCHDOG=1")
        self.assertGreaterEqual(fed, 2_000_000 // WATCHDOG_USEC)
        self.assertLess(fed, 100)

    def test_watchdog_is_not_fed_by_an_agent_that_hangs(self):
        agent = self.watched()
        os.kill(agent.pid, signal.SIGSTOP)
        self.messages(agent, 0.1)
        self.assertEqual(self.messages(agent, 1), [])
        os.kill(agent.pid, signal.SIGCONT)
        self.assertIn("WATCHDOG=1", self.messages(agent, 1))

    def test_watchdog_of_another_process_is_not_fed(self):
        agent = self.agent(env={"WATCHDOG_USEC": str(WATCHDOG_USEC), "WATCHDOG_PID": "1"})
        self.assertNotIn("WATCHDOG=1", self.messages(agent, 1))

    def test_without_a_watchdog_nothing_is_sent(self):
        agent = self.agent()
        self.assertEqual([line for line in self.messages(agent, 1) if "WATCHDOG" in line], [])

    def test_without_a_service_manager_it_runs(self):
        agent = self.agent(start=False)
        agent.env["NOTIFY_SOCKET"] = ""
        agent.launch()
        harness.poll_until(agent.socket.exists, what="socket made")
        agent.wait_for(lambda s: s.pid == agent.pid)


if __name__ == "__main__":
    harness.main()
