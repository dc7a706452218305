# SPDX-License-Identifier: Apache-2.0
"""Core, worker and ask-pin under valgrind: no use of memory that is not theirs or not set, no leak.

One process each, from start to end, through everything that a client may ask. What the sanitizers do
not see is seen here: values that were never written, in their libraries as well as in our own code.
"""

import contextlib
import os
import re
import shutil
import signal
import unittest
from pathlib import Path

import harness
import tls_messages
import wire
from bus import BusTest, needs_bus
from harness import Code, Kind, needs_no_sanitizer

READY_SECONDS = 120  # valgrind takes its time, most of all over a worker's libraries
STOP_SECONDS = 60

VALGRIND = ["valgrind", "--tool=memcheck", "--trace-children=yes", "--leak-check=full",
            "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite", "--num-callers=30",
            "--child-silent-after-fork=yes",
            f"--suppressions={Path(__file__).with_name('valgrind.supp')}"]
SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) errors")
COMMAND = re.compile(r"Command: (\S+)")


@needs_no_sanitizer
@unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed")
class TestMemcheck(BusTest):
    KEYS = {"work": ("EC:prime256v1", wire.ECDSA_SHA256), "p384": ("EC:secp384r1", wire.ECDSA_SHA384),
            "rsa": ("rsa:2048", wire.RSA_PSS_SHA256), "ed": ("EC:edwards25519", wire.ED25519)}

    def setUp(self):
        self.the_token = self.faulty_token({label: kind for label, (kind, _) in self.KEYS.items()})
        self.the_agent = self.agent(start=False)
        self.logs = self.the_agent.dir / "valgrind"
        self.logs.mkdir()
        self.the_agent.wrap = [*VALGRIND, f"--log-file={self.logs}/%p"]

    def start(self, **options):
        self.the_agent.configure(
            f"[agent]\naudit = file:{self.the_agent.audit_file}\n" +
            self.the_token.config(workers=1, timeout=f"{READY_SECONDS}s", **options))
        self.the_agent.launch()
        self.the_agent.wait_notified("READY=1", READY_SECONDS)
        self.the_agent.wait_for(lambda s: s.modules[0].state == wire.ModuleState.READY and s.tokens,
                                READY_SECONDS)
        return self.connect(self.the_agent, deadline=READY_SECONDS)

    def sign(self, client, label="work"):
        scheme = self.KEYS[label][1]
        self.assert_signs(client, self.the_token.keys[label], scheme)

    def stop(self):
        self.the_agent.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.the_agent.wait_exit(STOP_SECONDS), 0, self.the_agent.log())

    def assert_clean(self, *programs):
        """Each of @programs ended by itself and has nothing to answer for, nor has any other."""
        seen = []
        for file in sorted(self.logs.iterdir()):
            text = file.read_text(errors="replace")
            summary, command = SUMMARY.search(text), COMMAND.search(text)
            if not command:
                continue  # forked, and killed before it became a program
            name = os.path.basename(command.group(1))
            if summary:
                self.assertEqual(int(summary.group(1)), 0, f"{name}:\n{text}")
                seen.append(name)
        for program in programs:
            self.assertIn(program, seen, "it left no report")

    def test_every_request_and_every_kind_of_key(self):
        client = self.start()
        self.the_agent.wait_keys(len(self.KEYS), READY_SECONDS)
        for label in self.KEYS:
            self.sign(client, label)
        self.assertEqual(len(client.keys()), len(self.KEYS))
        client.subscribe()
        work = self.the_token.keys["work"]
        for kind, content in ((Kind.DIGEST, bytes(32)), (Kind.TLS12, bytes(300)), (Kind.TLS13, b"")):
            self.assert_refused(Code.POLICY, client.sign, work.hash, wire.ECDSA_SHA256, kind, content)
        client.lock()
        self.assert_refused(Code.LOCKED, client.sign, work.hash, wire.ECDSA_SHA256, Kind.TLS13,
                            tls_messages.certificate_verify())
        client.unlock(self.the_token.pin, deadline=READY_SECONDS)
        self.sign(client)
        self.stop()
        self.assert_clean("mtls-agent", "token-worker", "ask-pin")

    def test_faults_on_every_side(self):
        client = self.start()
        self.the_agent.wait_keys(len(self.KEYS), READY_SECONDS)
        work = self.the_token.keys["work"]
        for bad in (b"\0\0\0\0", wire.hello() + wire.hello(), wire.status(0), wire.sign(
                1, work.hash, 0, 99, b"")[:40], wire.frame(99)):
            with self.the_agent.connect(greet=not bad.startswith(wire.hello())) as other:
                other.send(bad)
        for fault in ("C_Sign garbage", "C_Sign short", "C_Sign len0", "C_Sign rv 20",
                      "C_Sign rv 30", "C_SignInit rv b3"):
            self.the_token.rules(f"{fault} 1")
            with contextlib.suppress(wire.Refused):  # or served by a fresh worker
                self.sign(client, "rsa")
        self.the_token.rules()
        self.the_agent.wait_keys(len(self.KEYS), READY_SECONDS)
        self.sign(client)
        gone = self.the_agent.connect(deadline=READY_SECONDS)
        self.ask(gone, work)
        gone.close()
        self.the_agent.configure(self.the_agent.config_file.read_text() + "[agent]\nbogus = 1\n")
        self.the_agent.process.send_signal(signal.SIGHUP)
        self.the_agent.wait_for(lambda s: s.config_text, READY_SECONDS, "broken reload")
        self.sign(client)
        self.stop()
        self.assert_clean("mtls-agent", "token-worker")

    @needs_bus
    def test_services_on_the_buses(self):
        """Sleep, a lock, a touch; services and buses that come and go, also in the middle of it."""
        bus = self.bus()
        self.the_agent.env.update(DBUS_SYSTEM_BUS_ADDRESS=bus.address,
                                  DBUS_SESSION_BUS_ADDRESS=bus.address)
        session = f"1:{os.getuid()}:user"
        logind, desktop = self.fake("fake-logind", bus, session), self.fake("fake-notifications",
                                                                            bus, "body-markup")
        self.the_token.rules("hardware")
        client = self.start(pin="ask")
        logind.wait("got 1", READY_SECONDS)
        client.unlock(self.the_token.pin, deadline=READY_SECONDS)
        self.sign(client)
        logind("sleep", 1)
        logind.wait("released", READY_SECONDS)
        logind("sleep", 0)
        logind.wait("inhibit", READY_SECONDS)
        self.wait_locked(self.the_agent, deadline=READY_SECONDS)
        client.unlock(self.the_token.pin, deadline=READY_SECONDS)
        self.the_token.rules("hardware", "C_Sign delay 6000")
        self.ask(client, self.the_token.keys["work"])
        desktop.wait("notify", READY_SECONDS)
        desktop.end()
        logind.end()
        desktop = self.fake("fake-notifications", bus)
        desktop.wait("notify", READY_SECONDS)
        bus.stop()
        self.the_agent.process.send_signal(signal.SIGUSR1)
        self.wait_locked(self.the_agent, deadline=READY_SECONDS)
        bus.start()
        self.fake("fake-logind", bus, session).wait("got 1", READY_SECONDS)
        self.stop()
        self.assert_clean("mtls-agent", "token-worker")

    def test_wrong_pin_and_module_that_is_none(self):
        self.the_token.rules("pin-tries 3")
        self.the_token.tries_left(3)
        self.the_token.set_pin_file("0000")
        client = self.start()
        with self.assertRaises(wire.Refused) as caught:
            client.sign(self.the_token.keys["work"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                        tls_messages.certificate_verify())
        self.assertIn(caught.exception.code, (Code.PIN, Code.LOCKED, Code.NO_KEY))
        self.stop()
        self.assert_clean("mtls-agent", "token-worker", "ask-pin")


if __name__ == "__main__":
    harness.main()
