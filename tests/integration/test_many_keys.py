# SPDX-License-Identifier: Apache-2.0
"""10,000 keys on a token, and 1,000 tokens: the agent starts, lists page by page, finds and signs.

docs/performance.md has what this takes. The deadlines here are some ten times that: they tell what
grows with the square of the keys, which would take minutes, and not how fast the machine is.
"""

import json
import os
import subprocess

import harness
import wire
from harness import (BUILD_ROOT, IntegrationTest, Kind, needs_no_sanitizer, poll_until,
                     tls_messages)

P11MANY = os.environ.get("MTLS_P11MANY") or str(BUILD_ROOT / "tests/tools/p11many.so")
# A sanitizer makes everything ten times slower, and has nothing to find in the larger numbers.
KEYS, SLOTS = (10000, 1000) if os.environ.get("MTLS_SANITIZE", "none") == "none" else (1000, 200)
START_DEADLINE = 120.0
LIST_DEADLINE = 60.0


class ManyTest(IntegrationTest):
    MANY = ""

    @classmethod
    def setUpClass(cls):
        cls.the_agent = cls.class_agent(
            f"[agent]\naudit = off\n[module many]\npath = {P11MANY}\nworkers = 1\ntimeout = 2min\n"
            f"environment = P11MANY={cls.MANY}\n")
        poll_until(lambda: cls.module().state == wire.ModuleState.READY, START_DEADLINE,
                   cls.the_agent.log)

    @classmethod
    def module(cls):
        with cls.the_agent.connect(deadline=START_DEADLINE) as client:
            return client.status().modules[0]

    def list(self, selector=""):
        with self.the_agent.connect(deadline=LIST_DEADLINE) as client:
            return client.keys(selector)

    def assert_all_there(self, keys, count):
        self.assertEqual(len(keys), count)
        self.assertEqual({key.name for key in keys}, {f"key {n}" for n in range(1, count + 1)})
        self.assertEqual(len({key.hash for key in keys}), count)
        self.assertEqual({len(key.certs) for key in keys}, {1})
        self.assertEqual({key.state for key in keys}, {wire.KeyState.READY})

    def assert_signs(self, name):
        (key,) = self.list(name)
        with self.the_agent.connect() as client:
            client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())

    def mtls(self, *args):
        return subprocess.run([harness.MTLS_BIN, *args], capture_output=True, text=True, check=True,
                              timeout=LIST_DEADLINE, stdin=subprocess.DEVNULL,
                              env={"MTLS_AGENT_SOCK": str(self.the_agent.socket)}).stdout


class TestManyKeys(ManyTest):
    MANY = f"1 {KEYS}"

    def test_they_are_listed_in_pages_and_sign(self):
        self.assert_all_there(self.list(), KEYS)
        self.assert_signs(f"key {KEYS}")
        self.assertEqual(self.the_agent.status().tokens[0].keys, KEYS)

    def test_a_page_is_a_frame(self):
        with self.the_agent.connect(deadline=LIST_DEADLINE) as client:
            page = client.call(wire.list_keys, "", 0)
            self.assertEqual(page.total, KEYS)
            self.assertEqual(page.next, len(page.keys))
            self.assertLess(len(page.keys), KEYS)
            last = client.call(wire.list_keys, "", KEYS - 1)
            self.assertEqual((last.next, len(last.keys)), (0, 1))

    def test_mtls_lists_them(self):
        self.assertEqual(len(json.loads(self.mtls("list", "--json"))), KEYS)
        self.assertEqual(len(self.mtls("list").splitlines()), KEYS + 1)
        self.assertIn("signed and verified", self.mtls("test", f"key {KEYS}"))


class TestManyLockedKeys(ManyTest):
    """Before the login there are their certificates and public keys alone."""
    MANY = f"1 {KEYS} login"

    def test_they_are_listed_and_then_unlocked(self):
        keys = self.list()
        self.assertEqual(len(keys), KEYS)
        self.assertEqual({key.state for key in keys}, {wire.KeyState.LOCKED})
        with self.the_agent.connect() as client:
            client.unlock("1234", deadline=START_DEADLINE)
        self.assert_all_there(self.list(), KEYS)
        self.assert_signs(f"key {KEYS}")


class TestManyTokens(ManyTest):
    MANY = f"{SLOTS} 1"

    def test_they_are_listed_and_sign(self):
        self.assert_all_there(self.list(), SLOTS)
        self.assert_signs(f"key {SLOTS}")
        tokens = self.the_agent.status().tokens
        self.assertEqual([token.label for token in tokens], [f"token {n}" for n in range(SLOTS)])
        self.assertEqual({token.keys for token in tokens}, {1})

    def test_mtls_status_shows_them(self):
        self.assertEqual(len(json.loads(self.mtls("status", "--json"))["tokens"]), SLOTS)


class TestManyTokensWithManyKeys(ManyTest):
    MANY = f"{SLOTS} {KEYS // SLOTS}"

    def test_they_are_listed_and_sign(self):
        self.assert_all_there(self.list(), KEYS)
        self.assert_signs(f"key {KEYS}")


@needs_no_sanitizer
class TestMoreThanThereIsRoomFor(ManyTest):
    """1,024 tokens and 16,384 keys are the most; the rest is left out, and what is there serves."""
    MANY = "1100 16"

    def test_the_first_serve(self):
        keys = self.list()
        self.assertEqual(len(keys), 16384)
        self.assert_signs("key 1")
        self.assertEqual(len(self.the_agent.status().tokens), 1024)


if __name__ == "__main__":
    harness.main()
