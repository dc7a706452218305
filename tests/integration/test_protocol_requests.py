# SPDX-License-Identifier: Apache-2.0
"""Requests on one connection: ids, pipelining, quotas, half-close, departing clients."""

import errno
import json
import select
import socket
import time
from collections import Counter

import harness
import tls_messages
import wire
from harness import Code, IntegrationTest, Kind, ServedTest, poll_until

IN_FLIGHT_MAX = 64    # requests of one connection
READ_DEADLINE = 10.0  # for a client to take its replies


class TestPipelining(ServedTest):
    KEYS = {"work": "EC:prime256v1", "rsa": "rsa:2048"}

    def sign_request(self, request_id, label="rsa"):
        scheme = wire.RSA_PSS_SHA256 if label == "rsa" else wire.ECDSA_SHA256
        return wire.sign(request_id, self.key(label).hash, scheme, Kind.TLS13,
                         tls_messages.certificate_verify())

    def replies(self, client, count):
        return [client.receive() for _ in range(count)]

    def test_64_requests_in_one_write_are_each_answered_once(self):
        client = self.client()
        client.send(b"".join(self.sign_request(i) for i in range(1, 65)))
        replies = self.replies(client, 64)
        self.assertEqual({type(r) for r in replies}, {wire.SignReply})
        self.assertEqual(sorted(r.id for r in replies), list(range(1, 65)))

    def test_each_reply_belongs_to_its_request(self):
        client, contents = self.client(), {}
        for i in range(1, 17):
            contents[i] = tls_messages.certificate_verify()
            client.send(wire.sign(i, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13, contents[i]))
        for reply in self.replies(client, 16):
            self.assertTrue(tls_messages.is_signature(self.key().spki, wire.ECDSA_SHA256,
                                                      contents[reply.id], reply.signature))

    def test_requests_beyond_the_quota_are_busy_and_none_is_lost(self):
        client = self.client()
        client.send(b"".join(self.sign_request(i) for i in range(1, 301)))
        replies = self.replies(client, 300)
        self.assertEqual(sorted(r.id for r in replies), list(range(1, 301)))
        signed = [r for r in replies if isinstance(r, wire.SignReply)]
        refused = Counter(r.code for r in replies if isinstance(r, wire.Error))
        self.assertGreaterEqual(len(signed), IN_FLIGHT_MAX)
        self.assertEqual(set(refused), {Code.BUSY})

    def test_quota_is_free_again_after_the_replies(self):
        client = self.client()
        for _ in range(3):
            client.send(b"".join(self.sign_request(i, "work") for i in range(1, 65)))
            self.assertEqual({type(r) for r in self.replies(client, 64)}, {wire.SignReply})

    def test_an_id_that_is_in_flight_is_refused_and_the_first_is_answered(self):
        client = self.client()
        client.send(self.sign_request(7) + self.sign_request(7))
        replies = self.replies(client, 2)
        self.assertEqual([r.id for r in replies], [7, 7])
        self.assertEqual(Counter(type(r) for r in replies),
                         {wire.SignReply: 1, wire.Error: 1})
        error = next(r for r in replies if isinstance(r, wire.Error))
        self.assertEqual(error.code, Code.PROTO)
        self.assert_signs(client, self.key())

    def test_an_id_may_be_used_again_after_its_reply(self):
        client = self.client()
        for _ in range(2):
            client.send(self.sign_request(7))
            self.assertIsInstance(client.wait(7), wire.SignReply)

    def test_the_same_id_on_two_connections_is_two_requests(self):
        clients = [self.client(), self.client()]
        for client in clients:
            client.send(self.sign_request(7))
        for client in clients:
            self.assertIsInstance(client.wait(7), wire.SignReply)

    def test_an_easy_request_is_answered_while_signatures_are_under_way(self):
        client = self.client()
        client.send(b"".join(self.sign_request(i) for i in range(1, 41)) + wire.status(99))
        order = [reply.id for reply in self.replies(client, 41)]
        self.assertLess(order.index(99), 40)

    def test_half_closed_client_gets_its_replies_and_then_the_end(self):
        client = self.client()
        client.send(b"".join(self.sign_request(i) for i in range(1, 9)))
        client.socket.shutdown(socket.SHUT_WR)
        replies = client.wait_closed()
        self.assertEqual(sorted(r.id for r in replies), list(range(1, 9)))
        self.assertEqual({type(r) for r in replies}, {wire.SignReply})

    def test_half_close_in_a_frame_is_an_end(self):
        client = self.client()
        client.send(self.sign_request(1)[:20])
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.wait_closed(), [])


class TestDepartingClients(IntegrationTest):
    """A token with two slow operations at a time, so that requests wait in the agent."""

    @classmethod
    def setUpClass(cls):
        cls.the_token = cls.class_token()
        cls.the_key = cls.the_token.key("slow", "rsa:4096")
        agent = harness.Agent()
        cls.addClassCleanup(agent.end)
        agent.configure(cls.the_token.config(workers=1) +
                        f"[agent]\naudit = file:{agent.audit_file}\n")
        cls.the_agent = agent.start()
        agent.wait_keys()

    def sign_request(self, request_id):
        return wire.sign(request_id, self.the_key.hash, wire.RSA_PSS_SHA256, Kind.TLS13,
                         tls_messages.certificate_verify())

    def idle(self):
        return self.the_agent.wait_for(lambda s: s.queued == 0, what="queue empty")

    def test_requests_of_a_client_that_left_are_not_sent_to_the_token(self):
        before = self.idle()
        clients = [self.connect(self.the_agent) for _ in range(8)]
        for client in clients:
            client.send(b"".join(self.sign_request(i) for i in range(1, 65)))
        clients[-1].receive()
        for client in clients:
            client.close()
        after = self.idle()
        self.assertLess(after.signatures - before.signatures, 8 * 64 // 2)
        with self.the_agent.connect() as client:
            self.assert_signs(client, self.the_key, wire.RSA_PSS_SHA256)

    def test_a_signature_for_a_client_that_left_is_audited_as_such(self):
        self.idle()
        audited = len(self.the_agent.audit())
        client = self.connect(self.the_agent)
        client.send(b"".join(self.sign_request(i) for i in range(1, IN_FLIGHT_MAX + 1)))
        client.receive()
        client.close()  # with one under way and many to come
        self.idle()

        def gone():
            lines = [json.loads(line) for line in self.the_agent.audit()[audited:]]
            return [line for line in lines if line.get("client") == "gone"]
        poll_until(gone, what="an audit line that says the client had gone")

    def test_the_token_serves_on_after_a_client_left_in_its_signature(self):
        for _ in range(5):
            with self.the_agent.connect() as client:
                client.send(self.sign_request(1))
        status = self.idle()
        self.assertEqual([m.restarts for m in status.modules], [0])
        with self.the_agent.connect() as client:
            self.assert_signs(client, self.the_key, wire.RSA_PSS_SHA256)


class TestClientThatNeverReads(ServedTest):
    def flood(self, client, request, seconds=20):
        """Send until the agent closes; bytes sent, or None when it never did."""
        client.socket.setblocking(False)
        sent, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([], [client.socket], [], 0.5)[1]:
                continue
            try:
                sent += client.socket.send(request)
            except BlockingIOError:
                continue
            except OSError as error:
                self.assertIn(error.errno, (errno.EPIPE, errno.ECONNRESET))
                return sent
        return None

    def test_client_over_the_output_cap_is_closed_and_others_are_served(self):
        """At the cap, that is: long before the deadline for reading, and with little memory."""
        other = self.client()
        memory = self.the_agent.memory_kib()
        idle = self.client()
        self.assertIsNotNone(self.flood(idle, wire.list_keys(1) * 50, READ_DEADLINE / 2),
                             "it was not closed")
        self.assert_signs(other, self.key())
        self.assertLess(self.the_agent.memory_kib("VmHWM") - memory, 8 * 1024)

    def test_connection_over_the_cap_is_freed(self):
        before = self.the_agent.status().connections
        self.flood(self.client(), wire.status(1) * 100)
        self.the_agent.wait_for(lambda s: s.connections == before, what="connection freed")


if __name__ == "__main__":
    harness.main()
