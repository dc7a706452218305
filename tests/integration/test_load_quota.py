# SPDX-License-Identifier: Apache-2.0
"""What one user may hold: connections and requests, and what the core needs for them."""

import os
import socket

import harness
import tls_messages
import wire
from faults import FaultTest
from harness import Code, IntegrationTest, Kind
from test_load_clients import raise_descriptor_limit

CONNECTIONS_MAX = 2048  # USER_CONNECTIONS_MAX, agent/user.h
REQUESTS_MAX = 4096     # USER_REQUESTS_MAX
IN_FLIGHT_MAX = 64      # CONNECTION_REQUESTS_MAX, agent/connection.h
IDLE_CLIENTS = 1000
IDLE_MEMORY_KIB = 3 * 1024  # of its own: how much of the system's libraries is mapped is theirs to say


class TestConnections(IntegrationTest):
    def setUp(self):
        raise_descriptor_limit()
        self.the_agent = self.agent()

    def crowd(self, count):
        for _ in range(count):
            self.connect(self.the_agent)

    @harness.needs_no_sanitizer
    def test_a_thousand_idle_clients_need_little_memory(self):
        self.crowd(IDLE_CLIENTS)
        self.assertLess(self.the_agent.memory_kib("RssAnon"), IDLE_MEMORY_KIB)

    def test_one_connection_too_many_is_busy_and_closed(self):
        self.crowd(CONNECTIONS_MAX)
        client = self.connect(self.the_agent, greet=False)
        replies = client.wait_closed()
        self.assertEqual([(r.id, r.code) for r in replies], [(0, Code.BUSY)])

    def test_quota_is_free_again_when_one_has_left(self):
        clients = [self.connect(self.the_agent) for _ in range(CONNECTIONS_MAX)]
        clients[0].close()

        def served():
            try:
                with self.the_agent.connect() as client:
                    return client.status()
            except (wire.Refused, wire.Closed, OSError):
                return None
        harness.poll_until(served, 5, "a new connection")

    @harness.needs_root
    def test_quota_of_one_user_leaves_others_alone(self):
        agent = self.agent(f"[agent]\nusers = {harness.OTHER_UID}\n")
        agent.run_dir.chmod(0o755)
        agent.socket.chmod(0o666)
        self.the_agent = agent
        self.crowd(CONNECTIONS_MAX)
        reader, writer = socket.socketpair()
        with reader, writer:
            child = os.fork()
            if child == 0:
                os.setresuid(harness.OTHER_UID, harness.OTHER_UID, harness.OTHER_UID)
                try:
                    with agent.connect() as client:
                        writer.send(str(client.status().pid).encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            self.assertEqual(int(reader.recv(100)), agent.pid)


class TestRequests(FaultTest):
    def test_requests_over_the_quota_of_the_user_are_busy_and_all_are_answered(self):
        token = self.faulty_token()
        key = token.keys["work"]
        agent = self.serve(token, workers=1)
        connections = REQUESTS_MAX // IN_FLIGHT_MAX
        clients = [self.connect(agent) for _ in range(connections + 1)]
        token.rules("C_Sign delay 400 1")  # long enough to queue all the others
        content = tls_messages.certificate_verify()
        for client in clients:
            client.send(b"".join(wire.sign(i, key.hash, wire.ECDSA_SHA256, Kind.TLS13, content)
                                 for i in range(1, IN_FLIGHT_MAX + 1)))
        replies = [client.receive() for client in clients for _ in range(IN_FLIGHT_MAX)]
        refused = [r for r in replies if isinstance(r, wire.Error)]
        self.assertEqual({r.code for r in refused}, {Code.BUSY})
        self.assertLessEqual(len(refused), IN_FLIGHT_MAX)
        self.assertGreaterEqual(len(replies) - len(refused), REQUESTS_MAX)
        self.assert_signs(clients[0], key)


if __name__ == "__main__":
    harness.main()
