# SPDX-License-Identifier: Apache-2.0
"""The unfriendly kernel: bytes that come one at a time, calls that are cut short or interrupted."""

import os
import signal
import socket

import harness
import tls_messages
import wire
from harness import BUILD_ROOT, IntegrationTest, Kind, ServedTest, needs_no_sanitizer

INTERPOSE = os.environ.get("MTLS_INTERPOSE") or str(BUILD_ROOT / "tests/tools/interpose.so")
SEEDS = (1, 1000, 2_000_000, 77_777_777)


class TestDribble(ServedTest):
    def sign_request(self, request_id):
        return wire.sign(request_id, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13,
                         tls_messages.certificate_verify())

    def test_a_stream_of_single_bytes_on_many_connections(self):
        clients = [self.client(greet=False) for _ in range(20)]
        stream = wire.hello() + self.sign_request(1) + wire.list_keys(2) + wire.status(3)
        for at in range(len(stream)):
            for client in clients:
                client.send(stream[at:at + 1])
        for client in clients:
            self.assertIsInstance(client.receive(), wire.HelloReply)
            self.assertEqual({client.receive().id for _ in range(3)}, {1, 2, 3})

    def test_frames_cut_at_every_place(self):
        stream = wire.hello() + self.sign_request(1) + wire.status(2)
        for at in range(1, len(stream)):
            client = self.client(greet=False)
            client.send(stream[:at])
            client.send(stream[at:])
            self.assertIsInstance(client.receive(), wire.HelloReply)
            self.assertEqual({client.receive().id for _ in range(2)}, {1, 2})
            client.close()

    def test_a_client_that_reads_little_at_a_time(self):
        client = self.client(greet=False)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.greet()
        for i in range(1, 301):
            client.send(wire.list_keys(i))
        received = bytearray()
        while len(received) < 4 or received.count(self.key().hash) < 300:
            received += client.socket.recv(97)
        client.received = received
        self.assertEqual([client.receive().id for _ in range(300)], list(range(1, 301)))


class TestSignals(IntegrationTest):
    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work")
        self.the_agent = self.agent(self.the_token.config())
        self.the_agent.wait_keys()

    def test_stop_and_continue_in_the_middle_of_everything(self):
        """Every blocking call of core and worker returns early, again and again."""
        client = self.connect(self.the_agent)
        for i in range(1, 201):
            if i % 50 == 1:
                client.send(b"".join(
                    wire.sign(n, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                              tls_messages.certificate_verify()) for n in range(i, i + 50)))
            for pid in (self.the_agent.pid, *self.the_agent.workers()):
                os.kill(pid, signal.SIGSTOP)
                os.kill(pid, signal.SIGCONT)
            self.assertIsInstance(client.receive(), wire.SignReply)
        self.assertEqual([m.restarts for m in client.status().modules], [0],
                         self.the_agent.log())


@needs_no_sanitizer
class TestShortCalls(IntegrationTest):
    """A library between agent and kernel cuts and interrupts about every other call.

    One worker: SoftHSM loses sight of its token when one process starts while another logs in, and
    the agent then starts it again, as it should.
    """

    def exercise(self, agent, key):
        client = self.connect(agent)
        for i in range(1, 9):
            self.assert_signs(client, key)
        for round_number in range(5):
            ids = range(100 * round_number + 1, 100 * round_number + 61)
            client.send(b"".join(wire.sign(i, key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                                           tls_messages.certificate_verify()) for i in ids))
            self.assertEqual(sorted(client.receive().id for _ in ids), list(ids))
        self.assertEqual(len(client.keys()), 1)
        client.lock("demo")
        client.unlock("1234", "demo")
        self.assert_signs(client, key)
        self.assertEqual([m.restarts for m in client.status().modules], [0], agent.log())

    def test_core(self):
        token = self.token()
        key = token.key("work")
        for seed in SEEDS:
            with self.subTest(seed=seed):
                agent = self.agent(token.config(workers=1), env={"LD_PRELOAD": INTERPOSE,
                                                        "INTERPOSE_SHORT": str(seed)})
                agent.wait_keys()
                self.exercise(agent, key)
                agent.stop()

    def test_worker(self):
        token = self.token()
        key = token.key("work")
        for seed in SEEDS:
            with self.subTest(seed=seed):
                agent = self.agent(token.config(workers=1, environment=[f"LD_PRELOAD={INTERPOSE}",
                                                             f"INTERPOSE_SHORT={seed}"]))
                agent.wait_keys()
                self.exercise(agent, key)
                agent.stop()


if __name__ == "__main__":
    harness.main()
