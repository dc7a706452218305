# SPDX-License-Identifier: Apache-2.0
"""The end, and signals on the way there: in time, an answer for every request, nothing left."""

import os
import re
import select
import signal
import time

import harness
import tls_messages
import wire
from faults import FaultTest
from harness import Code, Kind, STOP_DEADLINE, is_alive, poll_until

IN_FLIGHT = 60


class EndTest(FaultTest):
    def setUp(self):
        self.the_token = self.faulty_token()
        self.key = self.the_token.keys["work"]
        self.the_agent = self.serve(self.the_token, workers=2, timeout="20s")
        self.wait_workers()
        self.client = self.connect(self.the_agent)

    def wait_workers(self, but=()):
        """Until two workers, none of @but, have logged in."""
        def logged_in():
            pids = set(self.the_agent.workers()) - set(but)
            return len(pids) == 2 and all(map(self.has_logged_in, pids))
        poll_until(logged_in, what="two workers logged in")

    def has_logged_in(self, pid):
        """And the agent knows: a worker that ends before it has said so may have spent a try."""
        return re.search(rf"ready with 1 tokens and [1-9]\d* keys \(worker pid {pid}\)",
                         self.the_agent.log())

    def send_requests(self):
        content = tls_messages.certificate_verify()
        self.client.send(b"".join(
            wire.sign(i, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13, content)
            for i in range(1001, 1001 + IN_FLIGHT)))
        self.the_agent.wait_for(lambda s: s.queued >= IN_FLIGHT // 2, what="requests under way")

    def assert_each_answered_once(self):
        """Signed, or refused with a code that says what happened."""
        replies = self.client.wait_closed()
        self.assertEqual(sorted(r.id for r in replies), list(range(1001, 1001 + IN_FLIGHT)))
        for reply in replies:
            if isinstance(reply, wire.Error):
                self.assertIn(reply.code, (Code.TOKEN_GONE, Code.BUSY, Code.INTERNAL, Code.TIMEOUT))
                self.assertTrue(reply.text)

    def assert_ends(self, *signals, within=STOP_DEADLINE):
        children, start = self.the_agent.children(), time.monotonic()
        for number in signals:
            self.the_agent.process.send_signal(number)
        self.assertEqual(self.the_agent.wait_exit(within), 0, self.the_agent.log())
        poll_until(lambda: not any(map(is_alive, children)), 2, "workers ended")
        self.assertFalse(self.the_agent.socket.exists())
        return time.monotonic() - start


class TestEnd(EndTest):
    def test_idle_agent_ends_at_once(self):
        self.assertLess(self.assert_ends(signal.SIGTERM), 2)
        self.assertEqual(self.client.wait_closed(), [])

    def test_interrupt_is_an_end_as_well(self):
        self.assert_ends(signal.SIGINT)

    def test_end_is_announced_to_the_service_manager(self):
        self.the_agent.process.send_signal(signal.SIGTERM)
        self.the_agent.wait_notified("STOPPING=1")
        self.assertEqual(self.the_agent.wait_exit(STOP_DEADLINE), 0)

    def test_requests_in_flight_are_finished_or_refused(self):
        self.the_token.rules("C_Sign delay 30")
        self.send_requests()
        self.assert_ends(signal.SIGTERM)
        self.assert_each_answered_once()

    def test_requests_that_take_too_long_are_refused(self):
        self.the_token.rules("C_Sign delay 3000")
        self.send_requests()
        self.assert_ends(signal.SIGTERM)
        self.assert_each_answered_once()

    def test_second_signal_changes_nothing_for_the_worse(self):
        self.the_token.rules("C_Sign delay 300")
        self.send_requests()
        self.assert_ends(signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self.assert_each_answered_once()

    def test_module_that_hangs_does_not_hold_up_the_end(self):
        self.the_token.rules("C_Sign hang")
        self.send_requests()
        self.assert_ends(signal.SIGTERM)
        self.assert_each_answered_once()

    def test_module_that_blocks_signals_does_not_hold_up_the_end(self):
        self.the_token.rules("C_Sign sigmask", "C_Sign hang")
        self.send_requests()
        self.assert_ends(signal.SIGTERM)

    def test_client_that_never_reads_does_not_hold_up_the_end(self):
        self.client.socket.setblocking(False)
        try:
            while True:
                self.client.socket.send(wire.status(1) * 20)
        except OSError:
            pass  # full, or closed: either is what this wants
        self.assert_ends(signal.SIGTERM)

    def test_requests_after_the_signal_are_not_lost_in_silence(self):
        self.the_token.rules("C_Sign delay 500")
        self.send_requests()
        self.the_agent.process.send_signal(signal.SIGTERM)
        self.the_agent.wait_notified("STOPPING=1")
        try:
            self.client.send(wire.status(7))
        except OSError:
            pass  # closed is an answer
        self.the_agent.wait_exit(STOP_DEADLINE)
        self.client.wait_closed()


class TestStartInterrupted(FaultTest):
    def test_end_during_the_start(self):
        """At whatever moment the signal comes, the agent ends, and no worker is left."""
        token = self.token()
        token.key("work")
        for delay_ms in (0, 1, 2, 4, 8, 16, 32, 64):
            agent = self.agent(token.config(), start=False).launch()
            select.select([], [], [], delay_ms / 1000)
            children = agent.children()
            agent.process.send_signal(signal.SIGTERM)
            code = agent.wait_exit(STOP_DEADLINE)
            self.assertIn(code, (0, -signal.SIGTERM), agent.log())  # before it has a handler: -15
            poll_until(lambda c=children: not any(map(is_alive, c)), 2, "workers ended")
        self.agent(token.config()).wait_keys()  # nobody was killed while it wrote to the token

    def test_end_while_a_module_hangs_in_its_start(self):
        token = self.faulty_token()
        token.rules("C_Initialize hang")
        agent = self.serve(token, ready=False)
        poll_until(agent.workers, what="worker started")
        agent.stop()


class TestSignals(EndTest):
    def assert_unharmed(self):
        self.assert_signs(self.client, self.key)
        self.assert_serves(self.the_agent)

    def test_broken_pipe_signal(self):
        for pid in (self.the_agent.pid, *self.the_agent.workers()):
            os.kill(pid, signal.SIGPIPE)
        self.assert_unharmed()

    def test_client_that_closes_before_its_reply(self):
        for _ in range(200):
            client = self.the_agent.connect()
            client.send(wire.list_keys(1) + wire.status(2))
            client.close()
        self.assert_unharmed()

    def test_child_signal_storm(self):
        workers = self.the_agent.workers()
        for _ in range(2000):
            os.kill(self.the_agent.pid, signal.SIGCHLD)
        self.assert_unharmed()
        self.assertEqual(self.the_agent.workers(), workers)

    def test_child_signals_from_workers_that_really_die(self):
        """Between two deaths the next worker is ready: SoftHSM rewrites its token file in C_Login,
        and a process that is killed there takes the token with it."""
        for _ in range(5):
            workers = self.the_agent.workers()
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            self.assert_unharmed()
            self.wait_workers(but=workers)
            self.assert_unharmed()

    def test_stopped_agent_answers_after_it_is_continued(self):
        os.kill(self.the_agent.pid, signal.SIGSTOP)
        try:
            self.send_while_stopped()
        finally:
            os.kill(self.the_agent.pid, signal.SIGCONT)
        self.assertIsInstance(self.client.wait(5000), wire.SignReply)
        self.assert_unharmed()

    def send_while_stopped(self):
        self.client.send(wire.sign(5000, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                                   tls_messages.certificate_verify()))

    def test_stopped_worker_answers_after_it_is_continued(self):
        workers = self.the_agent.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        self.send_while_stopped()
        self.assertEqual(self.client.status().pid, self.the_agent.pid)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        self.assertIsInstance(self.client.wait(5000), wire.SignReply)
        self.assert_unharmed()

    def test_killed_core_leaves_no_worker(self):
        children = self.the_agent.children()
        self.the_agent.process.kill()
        self.the_agent.wait_exit()
        poll_until(lambda: not any(map(is_alive, children)), 5, "workers ended")

    def test_killed_core_leaves_no_worker_that_hangs(self):
        self.the_token.rules("C_Sign hang")
        self.send_while_stopped()
        self.the_agent.wait_for(lambda s: s.queued == 1)
        children = self.the_agent.children()
        self.the_agent.process.kill()
        self.the_agent.wait_exit()
        poll_until(lambda: not any(map(is_alive, children)), 5, "workers ended")


if __name__ == "__main__":
    harness.main()
