# SPDX-License-Identifier: Apache-2.0
"""A module that does not return: TIMEOUT at the deadline, its worker killed, nobody else waits."""

import os
import signal
import time

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind, is_alive, poll_until
from wire import ModuleState, TokenState


class TestHangInSign(FaultTest):
    SLACK = 1.5  # how much later than its deadline an answer may come

    def hanging(self, *others, **options):
        token = self.faulty_token()
        agent = self.serve(token, *others, **{"workers": 1, **options})
        token.rules("C_Sign hang 1")
        return token, agent

    def sign(self, client, key, deadline_ms=0):
        return client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify(), deadline_ms)

    def test_timeout_comes_at_the_deadline(self):
        token, agent = self.hanging()
        with agent.connect() as client:
            seconds = self.timed(self.assert_refused, Code.TIMEOUT, self.sign, client,
                                 token.keys["work"])
        self.assertGreater(seconds, self.TIMEOUT_SECONDS - 0.1)
        self.assertLess(seconds, self.TIMEOUT_SECONDS + self.SLACK)

    def test_hanging_worker_is_killed(self):
        token, agent = self.hanging()
        (worker,) = agent.workers()
        with agent.connect() as client:
            self.assert_refused(Code.TIMEOUT, self.sign, client, token.keys["work"])
        poll_until(lambda: not is_alive(worker), what="the worker is gone")
        self.assertEqual(self.module(agent).restarts, 1)
        self.assertRegex(agent.log(), r"faulty: .*did not answer")

    def test_next_request_is_served(self):
        token, agent = self.hanging()
        with agent.connect() as client:
            self.assert_refused(Code.TIMEOUT, self.sign, client, token.keys["work"])
            self.assert_signs(client, token.keys["work"])

    def test_deadline_of_the_client_comes_first(self):
        token, agent = self.hanging(timeout="30s")
        with agent.connect() as client:
            seconds = self.timed(self.assert_refused, Code.TIMEOUT, self.sign, client,
                                 token.keys["work"], 300)
        self.assertGreater(seconds, 0.25)
        self.assertLess(seconds, 0.3 + self.SLACK)

    def test_connections_outlive_a_crowd_of_timeouts(self):
        """Answering hundreds of them takes longer than a tick of the clock that they share."""
        token, agent = self.hanging(timeout="30s")
        clients = [self.connect(agent) for _ in range(40)]
        requests = [(client, self.ask(client, token.keys["work"], 500))
                    for client in clients for _ in range(20)]
        for client, request in requests:
            self.assertEqual(client.wait(request).code, Code.TIMEOUT)
        for client in clients:
            self.assertEqual(client.status().pid, agent.pid)

    def test_other_module_does_not_wait(self):
        other = self.other_token()
        token, agent = self.hanging(other)
        with agent.connect() as client, agent.connect() as neighbour:
            request = self.ask(client, token.keys["work"])
            token.wait_calls("C_Sign")
            seconds = self.timed(self.sign, neighbour, other.keys["healthy"])
            self.assertLess(seconds, 0.5)
            self.assertEqual(client.wait(request).code, Code.TIMEOUT)

    def test_status_answers_meanwhile(self):
        token, agent = self.hanging()
        with agent.connect() as client:
            request = self.ask(client, token.keys["work"])
            token.wait_calls("C_Sign")
            self.assertLess(self.timed(agent.status), 0.5)
            client.wait(request)

    def test_requests_behind_it_are_served_by_the_fresh_worker(self):
        token, agent = self.hanging()
        with agent.connect() as client:
            requests = [self.ask(client, token.keys["work"]) for _ in range(30)]
            replies = [client.wait(request) for request in requests]
        failed = [r for r in replies if isinstance(r, wire.Error)]
        self.assertEqual(len(failed), 1, failed)
        self.assertEqual(failed[0].code, Code.TIMEOUT)

    def test_slow_module_is_not_killed(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign delay 1200")
        workers = agent.workers()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(agent.workers(), workers)

    def test_stop_does_not_wait_for_it(self):
        token, agent = self.hanging(timeout="60s")
        with agent.connect() as client:
            self.ask(client, token.keys["work"])
            token.wait_calls("C_Sign")
            agent.stop()


class TestHangAtStart(FaultTest):
    """Each function that a start passes through."""

    def assert_contained(self, function):
        token, other = self.faulty_token(), self.other_token()
        token.rules(f"{function} hang")
        agent = self.serve(token, other, ready=False, timeout="1s", workers=1)
        self.assertEqual([key.label for key in agent.wait_keys(1)], ["healthy"])
        token.wait_calls(function)
        hanging = token.calling_pids(function)[0]
        poll_until(lambda: not is_alive(hanging), what="the hanging worker is killed")
        self.assert_serves(agent)
        token.rules()
        agent.wait_keys(2)

    def test_hang_in_initialize(self):
        self.assert_contained("C_Initialize")

    def test_hang_in_get_slot_list(self):
        self.assert_contained("C_GetSlotList")

    def test_hang_in_get_token_info(self):
        self.assert_contained("C_GetTokenInfo")

    def test_hang_in_find_objects(self):
        self.assert_contained("C_FindObjects")


class TestHangInLogin(FaultTest):
    TIMEOUT = "1s"

    def test_login_by_a_source(self):
        token, other = self.faulty_token(), self.other_token()
        token.rules("C_Login hang")
        agent = self.serve(token, other, ready=False, workers=1)
        token.wait_calls("C_Login")
        hanging = token.calling_pids("C_Login")[0]
        poll_until(lambda: not is_alive(hanging), what="the hanging worker is killed")
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])

    def test_pin_that_may_have_been_tried_is_given_once_more_and_no_further(self):
        """Whether a hung login cost a try is not known."""
        token = self.faulty_token()
        token.rules("C_Login hang")
        agent = self.serve(token, ready=False, workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        time.sleep(1.5)  # what is observed is that nothing happens
        self.assertEqual(token.calls("C_Login"), 2)

    def test_login_that_hung_once_is_made_again(self):
        token = self.faulty_token()
        token.rules("C_Login hang 1")
        agent = self.serve(token, ready=False, workers=1)
        self.assert_recovers(agent, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 2)

    def test_unlock_is_answered_and_works_afterwards(self):
        token = self.faulty_token()
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        self.wait_token(agent, lambda t: True)
        token.rules("C_Login hang 1")
        with agent.connect() as client:
            self.assert_refused(Code.TIMEOUT, client.unlock, token.pin)
            self.wait_token(agent, lambda t: True)
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])


class TestWorkerStopped(FaultTest):
    def test_stopped_worker_is_like_a_hanging_one(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        (worker,) = agent.workers()
        os.kill(worker, signal.SIGSTOP)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertNotIn(worker, agent.workers())


if __name__ == "__main__":
    main()
