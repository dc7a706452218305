# SPDX-License-Identifier: Apache-2.0
"""No descriptor is left: no busy loop, those who are connected are served, and it recovers."""

import select
import socket
import time

import harness
import wire
from harness import IntegrationTest, poll_until

LIMIT = 48


class TestDescriptorLimit(IntegrationTest):
    def setUp(self):
        token = self.token()
        self.key = token.key("work")
        self.the_agent = self.agent(token.config(workers=1),
                                    wrap=["prlimit", f"--nofile={LIMIT}:{LIMIT}"])
        self.the_agent.wait_keys()
        self.client = self.connect(self.the_agent)
        self.crowd = []

    def exhaust(self):
        """More connections than the agent has descriptors for."""
        for _ in range(2 * LIMIT):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(str(self.the_agent.socket))
            client.sendall(wire.hello())
            self.crowd.append(client)
        poll_until(lambda: self.the_agent.fd_count() >= LIMIT - 1, what="descriptors used up")

    def disperse(self):
        for client in self.crowd:
            client.close()

    def test_connected_clients_are_served_meanwhile(self):
        self.exhaust()
        for _ in range(20):
            self.assert_signs(self.client, self.key)

    def test_there_is_no_busy_loop(self):
        self.exhaust()
        before, start = self.the_agent.cpu_seconds(), time.monotonic()
        select.select([], [], [], 2)  # the time that is measured
        used = (self.the_agent.cpu_seconds() - before) / (time.monotonic() - start)
        self.assertLess(used, 0.1, "share of a core")

    def test_log_tells_it_without_a_flood(self):
        self.exhaust()
        select.select([], [], [], 1)  # the time that is looked at
        lines = [line for line in self.the_agent.log().splitlines() if "descriptor" in line]
        self.assertGreater(len(lines), 0)
        self.assertLess(len(lines), 30)

    def test_new_clients_are_served_when_others_have_left(self):
        self.exhaust()
        self.disperse()

        def served():
            try:
                with self.the_agent.connect(deadline=2) as client:
                    return client.status().pid == self.the_agent.pid
            except (OSError, wire.Closed):
                return False
        poll_until(served, 5, "a new client is served")
        self.assert_signs(self.client, self.key)

    def test_reload_is_refused_or_done_but_harms_nothing(self):
        self.exhaust()
        self.the_agent.process.send_signal(harness.signal.SIGHUP)
        self.the_agent.wait_for_log("(?i)configuration")
        self.assert_signs(self.client, self.key)
        self.disperse()
        self.the_agent.wait_keys()
        self.the_agent.reload()
        self.assertEqual(self.the_agent.status().config_text, "")

    def test_the_end_is_clean_meanwhile(self):
        self.exhaust()
        self.the_agent.stop()

    def test_a_worker_that_dies_meanwhile_is_replaced_in_the_end(self):
        self.exhaust()
        harness.os.kill(self.the_agent.workers()[0], harness.signal.SIGKILL)
        self.disperse()
        poll_until(self.the_agent.workers, 20, "a fresh worker")
        self.the_agent.wait_keys()
        self.assert_signs(self.client, self.key)


if __name__ == "__main__":
    harness.main()
