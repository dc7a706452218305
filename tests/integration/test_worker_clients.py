# SPDX-License-Identifier: Apache-2.0
"""Clients that leave while a token works for them: what has not begun is not begun."""

import json

import wire
from faults import FaultTest, main
from harness import poll_until


class TestClientGone(FaultTest):
    DELAY_MS = 700

    def busy_agent(self, **options):
        token = self.faulty_token()
        agent = self.agent(start=False)
        agent.configure(f"[agent]\naudit = file:{agent.audit_file}\n" +
                        token.config(workers=1, timeout="10s", **options))
        agent.start()
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        token.rules(f"C_Sign delay {self.DELAY_MS}")
        return token, agent

    def occupy(self, token, agent, count=16):
        """Another client keeps every thread of the worker busy; returns it and the calls so far."""
        client = self.connect(agent)
        before = token.calls("C_Sign")
        ids = [self.ask(client, token.keys["work"]) for _ in range(count)]
        token.wait_calls("C_Sign", before + 1)
        return client, ids, before

    def wait_idle(self, agent):
        agent.wait_for(lambda status: status.queued == 0, what="nothing is queued")

    def test_waiting_requests_of_a_gone_client_never_reach_the_token(self):
        token, agent = self.busy_agent()
        neighbour, ids, before = self.occupy(token, agent)
        gone = agent.connect()
        for _ in range(20):
            self.ask(gone, token.keys["work"])
        gone.status()  # the agent has read them all
        gone.close()
        for request_id in ids:
            self.assertIsInstance(neighbour.wait(request_id), wire.SignReply)
        self.wait_idle(agent)
        self.assertEqual(token.calls("C_Sign") - before, len(ids))

    def test_signature_under_way_is_dropped_and_audited(self):
        token, agent = self.busy_agent()
        gone = agent.connect()
        before = token.calls("C_Sign")
        self.ask(gone, token.keys["work"])
        token.wait_calls("C_Sign", before + 1)
        gone.close()
        lines = poll_until(lambda: len(agent.audit()) >= 2 and agent.audit(), what="audit line")
        self.assertEqual(json.loads(lines[-1]).get("client"), "gone")

    def test_worker_and_session_go_on(self):
        token, agent = self.busy_agent()
        workers, sessions = agent.workers(), token.calls("C_OpenSession")
        gone = agent.connect()
        before = token.calls("C_Sign")
        self.ask(gone, token.keys["work"])
        token.wait_calls("C_Sign", before + 1)
        gone.close()
        self.wait_idle(agent)
        token.rules()
        with agent.connect() as client:
            for _ in range(3):
                self.assert_signs(client, token.keys["work"])
        self.assertEqual(agent.workers(), workers)
        self.assertLessEqual(token.calls("C_OpenSession") - sessions, 3)

    def test_cancelled_requests_are_audited_as_such(self):
        token, agent = self.busy_agent()
        neighbour, ids, _ = self.occupy(token, agent)
        gone = agent.connect()
        for _ in range(3):
            self.ask(gone, token.keys["work"])
        gone.status()
        gone.close()
        for request_id in ids:
            neighbour.wait(request_id)
        self.wait_idle(agent)
        lines = [json.loads(line) for line in agent.audit()]
        self.assertEqual(len([l for l in lines if l.get("client") != "gone"]), 1 + len(ids))
        self.assertFalse([l for l in lines if l.get("client") == "gone" and l["result"] == "ok"])

    def test_deadline_of_a_waiting_request_takes_it_out_of_the_queue(self):
        token, agent = self.busy_agent()
        neighbour, ids, before = self.occupy(token, agent)
        with agent.connect() as client:
            requests = [self.ask(client, token.keys["work"], deadline_ms=200) for _ in range(4)]
            for request_id in requests:
                self.assertEqual(client.wait(request_id).code, wire.Code.TIMEOUT)
        for request_id in ids:
            neighbour.wait(request_id)
        self.wait_idle(agent)
        self.assertEqual(token.calls("C_Sign") - before, len(ids))


if __name__ == "__main__":
    main()
