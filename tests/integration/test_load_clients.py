# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, and one greedy client beside a modest one."""

import multiprocessing
import resource
import select
import statistics
import time
from collections import Counter

import harness
import tls_messages
import wire
from faults import FaultTest
from harness import IntegrationTest, Kind

CLIENTS = 1000
FLOOD = 10_000
WINDOW = 64  # requests in flight that one connection may have
SAMPLES = 25
TOKEN_MS = 40
TURN_CLIENTS = 12
TURN_REQUESTS = 20
TURN_MS = 5


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class TestThousandClients(IntegrationTest):
    def setUp(self):
        raise_descriptor_limit()
        token = self.token()
        self.key = token.key("work")
        self.the_agent = self.agent(token.config())
        self.the_agent.wait_keys()
        self.clients = [self.connect(self.the_agent, deadline=60) for _ in range(CLIENTS)]

    def ask_all(self, requests=1):
        """Every client sends @requests at once; {(client, id): reply}, checked to be complete."""
        self.contents = {}
        for number, client in enumerate(self.clients):
            for i in range(1, requests + 1):
                self.contents[number, i] = tls_messages.certificate_verify()
            client.send(b"".join(
                wire.sign(i, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                          self.contents[number, i]) for i in range(1, requests + 1)))
        replies = {}
        for number, client in enumerate(self.clients):
            for _ in range(requests):
                reply = client.receive()
                self.assertNotIn((number, reply.id), replies)
                replies[number, reply.id] = reply
        self.assertEqual(replies.keys(), self.contents.keys())
        return replies

    def test_all_are_answered_and_each_with_its_own_signature(self):
        replies = self.ask_all()
        self.assertEqual({type(r) for r in replies.values()}, {wire.SignReply})
        self.assertEqual(len({r.signature for r in replies.values()}), CLIENTS)
        for at in list(replies)[::CLIENTS // 50]:
            self.assertTrue(tls_messages.is_signature(
                self.key.spki, wire.ECDSA_SHA256, self.contents[at], replies[at].signature))

    def test_no_request_is_lost_when_each_sends_several(self):
        replies = self.ask_all(requests=4)
        self.assertEqual({type(r) for r in replies.values()}, {wire.SignReply})

    def test_status_counts_them_and_forgets_them(self):
        self.assertEqual(self.the_agent.status().connections, CLIENTS + 1)
        for client in self.clients:
            client.close()
        self.the_agent.wait_for(lambda s: s.connections == 1, what="connections freed")


def flood(path, key_hash, scheme, requests, ready):
    """@requests of them, as many in flight as allowed; ends when all are signed."""
    client = wire.Wire(path, deadline=120)
    content = tls_messages.certificate_verify()
    sent = done = 0
    while done < requests:
        burst = min(WINDOW - (sent - done), requests - sent)
        if burst > 0:
            client.send(b"".join(wire.sign(sent + i + 1, key_hash, scheme, Kind.TLS13, content)
                                 for i in range(burst)))
            sent += burst
        reply = client.receive()
        if not isinstance(reply, wire.SignReply):
            raise RuntimeError(reply)
        done += 1
        ready.set()
    client.close()


class TestFlood(FaultTest):
    """One client floods; what another one sees is compared with the same run before the flood."""

    def start(self, **options):
        self.the_token = self.faulty_token()
        self.key = self.the_token.keys["work"]
        self.the_agent = self.serve(self.the_token, workers=1, **options)
        self.client = self.connect(self.the_agent)

    def latency(self):
        start = time.monotonic()
        self.client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                         tls_messages.certificate_verify())
        return time.monotonic() - start

    def all_received(self, client):
        """What one read brings, which is one reply at least."""
        yield client.receive()
        while client.received:
            yield client.receive()

    def start_flood(self, requests):
        context = multiprocessing.get_context("fork")
        ready = context.Event()
        flooder = context.Process(target=flood, args=(
            str(self.the_agent.socket), self.key.hash, wire.ECDSA_SHA256, requests, ready))
        flooder.start()
        self.addCleanup(flooder.join)
        self.addCleanup(flooder.kill)
        self.assertTrue(ready.wait(30), "the flood did not begin")
        return flooder

    def test_modest_client_waits_no_longer_than_two_operations(self):
        """A token that takes its time, so that the machine's own load does not count."""
        self.start()
        self.the_token.rules(f"C_Sign delay {TOKEN_MS}")
        alone = statistics.median(self.latency() for _ in range(SAMPLES))
        flooder = self.start_flood(FLOOD)
        beside = statistics.median(self.latency() for _ in range(SAMPLES))
        self.assertTrue(flooder.is_alive(), "the flood ended too early to measure")
        print(f"alone {alone * 1e3:.1f} ms, beside the flood {beside / alone:.2f} times as long")
        self.assertLess(beside / alone, 2.4)

    def test_greedy_clients_take_turns_and_none_waits_longer_than_the_queue(self):
        """Each has as many requests waiting as it may; the token takes 5 ms for each."""
        self.start()
        clients = [self.connect(self.the_agent, deadline=60) for _ in range(TURN_CLIENTS)]
        names = {client.socket.fileno(): number for number, client in enumerate(clients)}
        self.the_token.rules(f"C_Sign delay {TURN_MS}")
        content = tls_messages.certificate_verify()
        start = time.monotonic()
        for client in clients:
            client.send(b"".join(wire.sign(i, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13, content)
                                 for i in range(1, TURN_REQUESTS + 1)))
        poll, served, ahead, times = select.poll(), Counter(), 0, []
        for client in clients:
            poll.register(client.socket, select.POLLIN)
        while len(times) < TURN_CLIENTS * TURN_REQUESTS:
            for fd, _ in poll.poll(30_000):
                number = names[fd]
                for reply in self.all_received(clients[number]):
                    self.assertIsInstance(reply, wire.SignReply)
                    served[number] += 1
                    self.assertEqual(reply.id, served[number], "not in the order of the requests")
                    times.append(time.monotonic() - start)
            ahead = max(ahead, max(served.values()) - min(served[n] for n in names.values()))
        # One turn, and what one look at the sockets may find of two turns.
        self.assertLessEqual(ahead, 4)
        self.assertLess(times[-1], 3 * len(times) * TURN_MS / 1000, "queue length times token time")

    def test_flood_of_ten_thousand_loses_nothing_and_starves_no_one(self):
        self.start()
        flooder = self.start_flood(FLOOD)
        served = 0
        while flooder.is_alive():
            self.latency()
            served += 1
        self.assertEqual(flooder.exitcode, 0, "the flood lost a request")
        self.assertGreater(served, 100)
        self.assertEqual(self.the_agent.status().failures, 0)


if __name__ == "__main__":
    harness.main()
