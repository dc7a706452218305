# SPDX-License-Identifier: Apache-2.0
"""A worker that dies: killed in mid-sign, while idle, at every start, all the time under load."""

import os
import signal
import threading
import time
from collections import Counter

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind, is_alive, needs_root, poll_until
from wire import ModuleState

RESTART_DEADLINE = 1.0  # a fresh worker serves again after one crash


class TestWorkerKilled(FaultTest):
    def killed(self, agent):
        """The worker dies now; returns its pid."""
        (worker,) = agent.workers()
        os.kill(worker, signal.SIGKILL)
        return worker

    def idle_fd_count(self, agent):
        """Descriptors of the agent while it has one client alone."""
        # ask-pin ends by itself when it has written the ledger
        poll_until(lambda: not agent.children("ask-pin"), what="ask-pin ended")
        with agent.connect() as client:
            poll_until(lambda: client.status().connections == 1, what="one client")
            return agent.fd_count()

    def test_request_in_mid_sign_is_answered_internal(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign hang 1")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        token.wait_calls("C_Sign")
        self.killed(agent)
        reply = client.wait(request)
        self.assertEqual(reply.code, Code.INTERNAL)

    def test_request_after_the_kill_is_served(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        client = self.connect(agent)
        worker = self.killed(agent)
        self.assert_signs(client, token.keys["work"])
        self.assertNotIn(worker, agent.workers())

    def test_fresh_worker_serves_within_a_second(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        client = self.connect(agent)
        start = time.monotonic()
        self.killed(agent)
        self.assert_signs(client, token.keys["work"])
        self.assertLess(time.monotonic() - start, RESTART_DEADLINE)

    def test_other_module_is_not_disturbed(self):
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, workers=1)
        before = self.module(agent, "other0")
        for worker in agent.workers():
            if worker in token.calling_pids("C_Initialize"):
                os.kill(worker, signal.SIGKILL)
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])
        self.assertEqual(self.module(agent, "other0").restarts, before.restarts)

    @needs_root
    def test_dead_worker_leaves_no_zombie_and_no_descriptor(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        before = self.idle_fd_count(agent)
        for restarts in (1, 2):
            worker = self.killed(agent)
            self.wait_module(agent, lambda module, n=restarts: module.restarts == n and
                             module.workers == 1 and module.state == ModuleState.READY)
            self.assertFalse(os.path.exists(f"/proc/{worker}"))
        self.assertEqual(self.idle_fd_count(agent), before)

    def test_restart_shows_in_the_status(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        self.killed(agent)
        module = self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
        self.assertEqual(module.workers, 1)

    def test_restart_is_an_event(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        watcher = self.connect(agent)
        watcher.subscribe(wire.MODULE_CHANGED)
        self.killed(agent)
        event = watcher.event()
        self.assertEqual((event.kind, event.subject), (wire.MODULE_CHANGED, "faulty"))
        self.assertTrue(event.text.strip())

    def test_requests_not_begun_go_to_the_fresh_worker(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign delay 200")
        client = self.connect(agent)
        requests = [self.ask(client, token.keys["work"]) for _ in range(40)]
        token.wait_calls("C_Sign")
        self.killed(agent)
        begun = token.calls("C_Sign")
        token.rules()
        replies = [client.wait(request) for request in requests]
        failed = [r for r in replies if isinstance(r, wire.Error)]
        self.assertEqual({r.code for r in failed}, {Code.INTERNAL})
        self.assertLessEqual(len(failed), begun)
        self.assertGreater(len(replies) - len(failed), 20)

    def test_no_request_is_signed_twice(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        before = token.calls("C_Sign")
        token.rules("C_Sign delay 50")
        client = self.connect(agent)
        requests = [self.ask(client, token.keys["work"]) for _ in range(40)]
        token.wait_calls("C_Sign", before + 4)
        self.killed(agent)
        for request in requests:
            client.wait(request)
        self.assertLessEqual(token.calls("C_Sign") - before, 40)


class TestWorkerKilledUnderLoad(FaultTest):
    CLIENTS = 4
    SECONDS = 6

    def sign_for_a_while(self, agent, key, stop, outcomes):
        with agent.connect() as client:
            while not stop.is_set():
                ids = [self.ask(client, key) for _ in range(8)]
                for request_id in ids:
                    reply = client.wait(request_id)
                    outcomes.append("ok" if isinstance(reply, wire.SignReply) else reply.code)
            if client.kept:
                outcomes.append("answered twice")

    def test_every_request_has_exactly_one_reply(self):
        """Workers are killed all the time, more often than the pause between restarts allows."""
        token = self.faulty_token()
        agent = self.serve(token, workers=2)
        stop, outcomes, failures = threading.Event(), [], []

        def run():
            try:
                self.sign_for_a_while(agent, token.keys["work"], stop, outcomes)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(repr(error))

        threads = [threading.Thread(target=run) for _ in range(self.CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + self.SECONDS
        while time.monotonic() < end:
            agent.kill_workers(1)
            stop.wait(0.15)
        stop.set()
        for thread in threads:
            thread.join(wire.DEADLINE)
        self.assertEqual(failures, [])
        counts = Counter(outcomes)
        self.assertGreater(counts["ok"], 0)
        self.assertLessEqual(set(counts), {"ok", Code.INTERNAL, Code.BUSY})
        self.assertGreater(self.module(agent).restarts, 3)
        self.assert_recovers(agent, token.keys["work"])

    def test_reload_and_kills_lose_no_request(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign delay 20")
        client = self.connect(agent)
        requests = [self.ask(client, token.keys["work"]) for _ in range(60)]
        token.wait_calls("C_Sign", 3)
        agent.reload()
        replies = [client.wait(request) for request in requests]
        self.assertEqual({type(reply) for reply in replies}, {wire.SignReply})


class TestWorkerCrashesAtEachStart(FaultTest):
    def crashing(self, *others):
        """The agent knows the key, then its worker crashes at every start."""
        token = self.faulty_token()
        agent = self.serve(token, *others, workers=1)
        worker = token.calling_pids("C_Initialize")[-1]
        token.rules("C_Initialize crash")
        os.kill(worker, signal.SIGKILL)
        self.wait_module(agent, lambda m: m.state == ModuleState.BACKOFF)
        return token, agent

    def test_request_is_busy_at_once(self):
        token, agent = self.crashing()
        with agent.connect() as client:
            seconds = self.timed(self.assert_refused, Code.BUSY, client.sign,
                                 token.keys["work"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                                 tls_messages.certificate_verify())
        self.assertLess(seconds, 0.5)

    def test_starts_come_at_growing_distances(self):
        token, agent = self.crashing()
        start = token.calls("C_Initialize")
        time.sleep(4)  # what is observed is that nothing much happens
        self.assertLess(token.calls("C_Initialize") - start, 8)
        self.assert_serves(agent)

    def test_status_says_what_happens(self):
        _, agent = self.crashing()
        self.assertTrue(self.module(agent).text.strip())

    def test_other_module_lives(self):
        other = self.other_token()
        _, agent = self.crashing(other)
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])

    def test_it_works_again_when_the_cause_is_gone(self):
        token, agent = self.crashing()
        token.rules()
        self.assert_recovers(agent, token.keys["work"])

    def test_crash_at_the_first_start_does_not_hold_the_agent(self):
        token, other = self.faulty_token(), self.other_token()
        token.rules("C_Initialize crash")
        agent = self.serve(token, other, ready=False)
        agent.wait_keys(1)
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])

    def test_no_worker_outlives_the_agent(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=2)
        workers = agent.workers()
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait_exit()
        poll_until(lambda: not any(map(is_alive, workers)), what="workers ended with the agent")


class TestModuleEndsTheProcess(FaultTest):
    def assert_contained(self, rule):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules(f"C_Sign {rule} 1")
        with agent.connect() as client:
            self.assert_refused(Code.INTERNAL, client.sign, token.keys["work"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())
            self.assert_signs(client, token.keys["work"])
        self.assert_serves(agent)

    def test_crash_in_sign(self):
        self.assert_contained("crash")

    def test_exit_in_sign(self):
        self.assert_contained("exit")

    def test_abort_in_sign(self):
        self.assert_contained("abort")


if __name__ == "__main__":
    main()
