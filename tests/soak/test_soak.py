# SPDX-License-Identifier: Apache-2.0
"""Twenty clients sign while everything under the agent fails: workers are killed, a
card is pulled, cut off and swapped into again, pcscd dies, the configuration is reloaded.

No signature is wrong, no request goes without its one answer, memory and descriptors stay as they
were, no PIN try is lost. MTLS_SOAK_SECONDS says how long (600).
"""

import os
import random
import signal
import sys
import threading
import time
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import pcsc
import tls_messages
import wire
from faults import FaultyToken
from harness import Code, Kind

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:
    pass  # pcsc.missing() says so

SECONDS = float(os.environ.get("MTLS_SOAK_SECONDS") or 600)
SEED = int(os.environ.get("MTLS_SOAK_SEED") or time.time())
CLIENTS = 20
WARM_UP = 5.0
PAUSE = 0.05  # of a client between two requests: the machine has other tests to run
ANSWER_DEADLINE = 130.0  # the agent's own limit is 120 s
GROWTH_KIB = 1024
# What a request may end with when its signature was under way as the token went: never repeated.
HONEST_ERRORS = {Code.INTERNAL, Code.TOKEN_GONE, Code.TIMEOUT}


class Client(threading.Thread):
    """Signs with one key until it is told to stop; remembers what it got."""

    def __init__(self, agent, key, stop):
        super().__init__(daemon=True)
        self.agent, self.key, self.stop_event = agent, key, stop
        self.public = serialization.load_der_public_key(key.spki)
        self.counts = Counter()
        self.problems = []

    def run(self):
        try:
            with self.agent.connect(deadline=ANSWER_DEADLINE) as client:
                while not self.stop_event.wait(PAUSE):
                    self.sign_once(client)
        except Exception as problem:  # noqa: B902: the test shows it
            self.problems.append(f"{type(problem).__name__}: {problem}")

    def sign_once(self, client):
        content = tls_messages.certificate_verify()
        try:
            signature = client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.TLS13, content)
        except wire.Refused as refused:
            self.counts[refused.code] += 1
            if refused.code not in HONEST_ERRORS:
                self.problems.append(f"{refused.code}: {refused.text}")
            return
        self.counts["signed"] += 1
        try:
            self.public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            self.problems.append("a wrong signature")


class Watcher(threading.Thread):
    """The person who is told what is waited for, so that requests wait."""

    def __init__(self, agent, stop):
        super().__init__(daemon=True)
        self.client = agent.connect()
        self.client.subscribe(wire.WAITING)
        self.stop_event = stop
        self.told = 0

    def run(self):
        while not self.stop_event.is_set():
            try:
                self.client.event(deadline=0.5)
                self.told += 1
            except TimeoutError:
                pass
            except wire.Closed:
                return


class TestSoak(pcsc.CardTest):
    def setUp(self):
        self.random = random.Random(SEED)
        self.reader = pcsc.GENERIC
        # polled: for 0.4 s nobody knows that a card was pulled, and OpenSC 0.23 then hangs for ever
        self.the_pcscd = self.pcscd([self.reader], polled=True)
        self.the_card = self.card(self.the_pcscd, keys={"9a": "EC:prime256v1"})
        self.the_card.insert(self.reader)
        self.token = FaultyToken()
        self.addCleanup(self.token.remove)
        self.token.key("work")
        self.done = Counter()

    # ---- what happens to the agent

    def kill_worker(self, module):
        """@module: its worker is ready, and not in a login: SoftHSM loses its token if killed there."""
        def ready():
            return any(m.name == module and m.state == wire.ModuleState.READY
                       for m in self.the_agent.status().modules)
        if not ready():
            return
        for pid in self.the_agent.workers():
            maps = Path(f"/proc/{pid}/maps")
            name = b"opensc-pkcs11" if module == "card" else b"p11fault"
            try:
                is_meant = name in maps.read_bytes()
            except OSError:
                continue
            if is_meant:
                os.kill(pid, signal.SIGKILL)
                return

    def kill_card_worker(self):
        self.kill_worker("card")

    def kill_software_worker(self):
        self.kill_worker("faulty")

    def pull(self):
        self.the_card.remove()
        self.pause(0.1, 1.5)
        self.the_card.insert(self.reader)

    def cut(self):
        """It goes in the middle of a signature."""
        self.the_card.cut()
        self.the_card.wait_removed()
        self.the_pcscd.wait_absent(self.reader)
        self.pause(0.1, 1.0)
        self.the_card.insert(self.reader)

    def slow(self):
        self.the_card.delay(0.5)
        self.pause(0.5, 1.5)
        self.the_card.delay(0)

    def kill_pcscd(self):
        self.the_pcscd.kill()
        self.pause(0.1, 1.0)
        self.the_pcscd.start()
        self.the_pcscd.wait_present(self.reader)

    def restart_pcscd(self):
        self.the_pcscd.restart()
        self.the_pcscd.wait_present(self.reader)

    def reload(self):
        self.the_agent.reload()

    def lose_sessions(self):
        self.token.rules("C_SignInit rv b3 2")
        self.pause(0.2, 0.5)
        self.token.rules()

    def pause(self, least, most):
        time.sleep(self.random.uniform(least, most))

    def live(self, seconds):
        faults = [self.kill_card_worker, self.kill_software_worker, self.pull, self.cut, self.slow,
                  self.kill_pcscd, self.restart_pcscd, self.reload, self.lose_sessions]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stopped.is_set():
            fault = self.random.choice(faults)
            fault()
            self.done[fault.__name__] += 1
            self.pause(0.2, 2.0)

    # ---- the test

    def measure(self):
        return self.the_agent.fd_count(), self.the_agent.memory_kib("RssAnon")

    def settle(self):
        self.the_agent.wait_keys(2, deadline=20)

    def start_load(self):
        self.stopped = threading.Event()
        self.watcher = Watcher(self.the_agent, self.stopped)
        self.watcher.start()
        keys = [self.the_card.keys["9a"], self.token.keys["work"]]
        self.clients = [Client(self.the_agent, keys[n % 2], self.stopped) for n in range(CLIENTS)]
        for client in self.clients:
            client.start()

    def end_load(self):
        self.stopped.set()
        for client in self.clients:
            client.join(ANSWER_DEADLINE)
            self.assertFalse(client.is_alive(), "a request was never answered")
        self.watcher.join(5)
        self.watcher.client.close()

    def test_no_request_is_lost_and_no_signature_is_wrong(self):
        print(f"soak: {SECONDS:.0f} s, MTLS_SOAK_SEED={SEED}", flush=True)
        self.the_agent = self.agent(
            # the card's [token] section fits every token, so it goes last
            "[agent]\naudit = off\n" + self.token.config(timeout="3s", workers=1) +
            self.the_card.config(timeout="3s"))
        self.settle()
        self.start_load()
        time.sleep(WARM_UP)
        pid, before = self.the_agent.pid, self.measure()
        try:
            self.live(SECONDS)
        finally:
            self.end_load()
        self.settle()
        counts = sum((client.counts for client in self.clients), Counter())
        print(f"soak: {dict(counts)}\nsoak: {dict(self.done)}, told {self.watcher.told} times",
              flush=True)
        self.assertEqual([p for client in self.clients for p in client.problems][:10], [])
        self.assertEqual(self.the_agent.pid, pid)
        for client in self.clients:
            self.assertGreater(client.counts["signed"], 0)
        self.assertEqual(self.the_card.status()["tries"], 3)
        fds, memory = self.measure()
        self.assertLessEqual(fds, before[0] + 2)
        self.assertLess(memory - before[1], GROWTH_KIB)


if __name__ == "__main__":
    unittest.main(verbosity=2)
