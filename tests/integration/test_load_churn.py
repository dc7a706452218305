# SPDX-License-Identifier: Apache-2.0
"""What comes and goes leaves nothing behind: connections, subscriptions, signatures."""

import os
import socket
from pathlib import Path

import harness
import tls_messages
import wire
from harness import Kind, ServedTest, needs_no_sanitizer, poll_until

WARM_UP = 2_000
CONNECTIONS = 100_000
SIGNATURES = 20_000
WINDOW = 64
GROWTH_KIB = 512


def memory_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


@needs_no_sanitizer
class TestChurn(ServedTest):
    SECTIONS = "[agent]\naudit = off\n"

    def churn(self, count):
        """Connections that end in every way there is."""
        greeting = wire.hello()
        request = wire.sign(1, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13,
                            tls_messages.certificate_verify())
        endings = (b"", greeting[:3], greeting, greeting + wire.status(1),
                   greeting + wire.subscribe(1), greeting + request[:50], b"\0\0\0\0",
                   greeting + wire.hello(), b"GET / HTTP/1.1\r\n\r\n")
        for i in range(count):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.the_agent.socket))
                try:
                    client.sendall(endings[i % len(endings)])
                    if i % 100 == 0:
                        client.sendall(request)
                        client.recv(100)
                except ConnectionError:
                    pass  # the agent had closed it: that is one of the ways
        self.the_agent.wait_for(lambda s: s.connections == 1 and s.queued == 0, 60,
                                "connections freed")

    def test_connections_leave_no_descriptor_and_no_memory(self):
        self.churn(WARM_UP)
        fds, memory = self.the_agent.fd_count(), self.the_agent.memory_kib()
        self.churn(CONNECTIONS)
        poll_until(lambda: self.the_agent.fd_count() <= fds, what="descriptors freed")
        self.assertLess(self.the_agent.memory_kib() - memory, GROWTH_KIB)

    def sign_many(self, client, count):
        request = [wire.sign(i, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13,
                             tls_messages.certificate_verify(os.urandom(32)))
                   for i in range(1, WINDOW + 1)]
        client.send(b"".join(request))
        for done in range(count):
            reply = client.receive()
            self.assertIsInstance(reply, wire.SignReply)
            if done < count - WINDOW:
                client.send(request[reply.id - 1])

    def test_signatures_leave_no_memory_in_core_and_workers(self):
        client = self.client()
        self.sign_many(client, WARM_UP)
        pids = [self.the_agent.pid, *self.the_agent.workers()]
        fds, before = self.the_agent.fd_count(), [memory_kib(pid) for pid in pids]
        self.sign_many(client, SIGNATURES)
        self.assertEqual(self.the_agent.fd_count(), fds)
        growth = [memory_kib(pid) - was for pid, was in zip(pids, before)]
        self.assertLess(max(growth), GROWTH_KIB, f"KiB of growth of {pids}: {growth}")


if __name__ == "__main__":
    harness.main()
