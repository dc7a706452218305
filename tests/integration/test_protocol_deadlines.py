# SPDX-License-Identifier: Apache-2.0
"""Clients that start a frame and do not finish it, or never say anything: ended after 10 s."""

import select
import time

import harness
import tls_messages
import wire
from faults import FaultTest
from harness import Code, IntegrationTest, Kind

FRAME_DEADLINE = 10.0
SLACK = 4.0  # the agent may look at its clients only so often


class TestFrameDeadline(IntegrationTest):
    """All wait at the same time, so that the file takes ten seconds and not a minute."""

    @classmethod
    def setUpClass(cls):
        cls.the_agent = cls.class_agent()

    def ended_after(self, clients, dribble=None):
        """Seconds until each connection was closed; @dribble is called now and then."""
        start, ended = time.monotonic(), {}
        names = {client.socket: name for name, client in clients.items()}
        while len(ended) < len(clients) and time.monotonic() - start < FRAME_DEADLINE + SLACK:
            open_ones = [s for s in names if names[s] not in ended]
            for sock in select.select(open_ones, [], [], 0.5)[0]:
                try:
                    data = sock.recv(4096)
                except ConnectionError:
                    data = b""
                if not data:
                    ended[names[sock]] = time.monotonic() - start
            if dribble:
                dribble(ended)
        return ended

    def test_unfinished_frames_are_ended_and_idle_clients_are_not(self):
        request = wire.sign(1, bytes(32), wire.ECDSA_SHA256, Kind.TLS13, bytes(130))
        clients = {name: self.connect(self.the_agent, greet=name not in ("mute", "half hello"))
                   for name in ("mute", "half hello", "length only", "silent in a frame",
                                "one byte at a time", "idle")}
        clients["half hello"].send(wire.hello()[:7])
        clients["length only"].send(request[:4])
        clients["silent in a frame"].send(request[:-1])
        sent = [0]

        def dribble(ended):
            """About two bytes per second: never silent for long, never finished in time."""
            if "one byte at a time" not in ended:
                try:
                    clients["one byte at a time"].send(request[sent[0]:sent[0] + 1])
                    sent[0] += 1
                except OSError:
                    pass  # it was closed at this moment
        ended = self.ended_after(clients, dribble)
        self.assertEqual(set(ended), set(clients) - {"idle"})
        for name, seconds in ended.items():
            self.assertGreater(seconds, FRAME_DEADLINE - 1, name)
        self.assertEqual(clients["idle"].status().connections, 1)
        self.assert_serves(self.the_agent)


class TestReplyDeadline(IntegrationTest):
    REQUESTS = 4000  # their replies fill the kernel's buffer, and not the agent's

    def test_replies_that_are_not_read_end_the_connection(self):
        agent = self.agent()
        lazy = self.connect(agent)
        start = time.monotonic()
        lazy.send(b"".join(wire.status(i) for i in range(1, self.REQUESTS + 1)))
        self.assertEqual(agent.status().connections, 2)
        agent.wait_for(lambda s: s.connections == 1, FRAME_DEADLINE + SLACK, "connection ended")
        self.assertGreater(time.monotonic() - start, FRAME_DEADLINE - 1)
        self.assertLess(len(lazy.wait_closed()), self.REQUESTS)


class TestSignDeadline(FaultTest):
    """The client's own deadline, with a token that takes longer."""

    def setUp(self):
        self.the_token = self.faulty_token()
        self.key = self.the_token.keys["work"]
        self.the_agent = self.serve(self.the_token, workers=1, timeout="20s")
        self.client = self.connect(self.the_agent)

    def sign(self, deadline_ms):
        return self.client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                                tls_messages.certificate_verify(), deadline_ms)

    def test_deadline_that_passes_in_the_token(self):
        self.the_token.rules("C_Sign delay 1500")
        start = time.monotonic()
        self.assert_refused(Code.TIMEOUT, self.sign, 300)
        self.assertLess(time.monotonic() - start, 1.4)
        self.the_token.rules()
        self.assert_signs(self.client, self.key)

    def test_deadline_that_passes_in_the_queue(self):
        self.the_token.rules("C_Sign delay 400")
        content = tls_messages.certificate_verify()
        self.client.send(b"".join(
            wire.sign(i, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13, content,
                      0 if i <= 1030 else 100) for i in range(1001, 1041)))
        for i in range(1031, 1041):
            self.assertEqual(self.client.wait(i, 2).code, Code.TIMEOUT)

    def test_deadline_that_is_kept(self):
        self.the_token.rules("C_Sign delay 100")
        self.assertTrue(self.sign(5000))

    def test_longest_deadline(self):
        self.assertTrue(self.sign(0xFFFFFFFF))


if __name__ == "__main__":
    harness.main()
