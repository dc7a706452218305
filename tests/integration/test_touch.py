# SPDX-License-Identifier: Apache-2.0
"""Signatures that take longer than a token needs: subscribers are told, also when they end."""

import os
import subprocess
import sys
import time

import wire
from faults import FaultTest
from harness import Code, MTLS_BIN, OTHER_UID, main, needs_root, poll_until


class TouchTest(FaultTest):
    SLOW = ("hardware", "C_Sign delay 1500")
    QUICK = ("hardware",)

    def touchy(self, rules=SLOW, **options):
        token = self.faulty_token()
        token.rules(*self.QUICK)
        agent = self.serve(token, workers=1, **{"timeout": "30s", **options})
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        token.rules(*rules)
        return token, agent, watcher

    def assert_silent(self, watcher):
        """No event has come: STATUS is answered in turn, after what was sent before."""
        watcher.status()
        self.assertEqual([k for k in watcher.kept if isinstance(k, wire.Event)], [])


class TestEvents(TouchTest):
    def test_slow_signature_is_told_and_its_end(self):
        token, agent, watcher = self.touchy()
        client = self.connect(agent)
        start = time.monotonic()
        request = self.ask(client, token.keys["work"])
        event = watcher.event()
        waited = time.monotonic() - start
        self.assertEqual((event.kind, event.subject), (wire.WAITING, "work"))
        self.assertIn('token "demo" may want a touch, for ', event.text)
        self.assertIn(os.path.realpath(sys.executable), event.text)
        self.assertIn(f"(pid {os.getpid()})", event.text)
        self.assertGreater(waited, 0.6)
        self.assertLess(waited, 1.5)
        self.assertIsInstance(client.wait(request), wire.SignReply)
        event = watcher.event()
        self.assertEqual((event.kind, event.subject, event.text), (wire.WAITING, "work", "done"))
        self.assert_silent(watcher)

    def test_quick_signatures_are_not_told(self):
        token, agent, watcher = self.touchy(("hardware", "C_Sign delay 300"))
        client = self.connect(agent)
        for _ in range(3):
            self.assert_signs(client, token.keys["work"])
        self.assert_silent(watcher)

    def test_software_does_not_want_a_touch(self):
        token = self.faulty_token()
        token.rules("C_Sign delay 1200")
        agent = self.serve(token, workers=1)
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assert_silent(watcher)

    def test_key_that_is_always_slow_is_told_once(self):
        token, agent, watcher = self.touchy()
        client = self.connect(agent)
        self.assert_signs(client, token.keys["work"])
        self.assertIn("touch", watcher.event().text)
        self.assertEqual(watcher.event().text, "done")
        for _ in range(2):
            self.assert_signs(client, token.keys["work"])
        self.assert_silent(watcher)

    def test_touched_key_is_told_every_time(self):
        """A finger is not as regular as a slow card."""
        token, agent, watcher = self.touchy()
        client = self.connect(agent)
        for delay in (1500, 3500):
            token.rules("hardware", f"C_Sign delay {delay}")
            self.assert_signs(client, token.keys["work"])
            self.assertIn("touch", watcher.event().text)
            self.assertEqual(watcher.event().text, "done")

    def test_slow_person_is_told_soon_the_next_time(self):
        token, agent, watcher = self.touchy(("hardware", "C_Sign delay 3500"))
        client = self.connect(agent)
        for _ in range(2):
            start = time.monotonic()
            request = self.ask(client, token.keys["work"])
            self.assertIn("touch", watcher.event().text)
            self.assertLess(time.monotonic() - start, 3.0)
            self.assertIsInstance(client.wait(request), wire.SignReply)
            self.assertEqual(watcher.event().text, "done")

    def test_waiting_behind_others_is_no_touch(self):
        """Four threads in a module that does one thing at a time."""
        token, agent, watcher = self.touchy(("hardware", "C_Sign busy 250"))
        client = self.connect(agent)
        requests = [self.ask(client, token.keys["work"]) for _ in range(8)]
        for request in requests:
            self.assertIsInstance(client.wait(request), wire.SignReply)
        self.assert_silent(watcher)

    def test_two_at_once_for_one_key(self):
        """It waits until the last of them is done."""
        token = self.faulty_token()
        token.rules(*self.QUICK)
        agent = self.serve(token, workers=2, timeout="30s")
        poll_until(lambda: len(agent.workers()) == 2, what="two workers")
        agent.wait_for(lambda s: s.modules[0].workers == 2)
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        token.rules("hardware", "C_Sign delay 3000")
        first = self.start_signing(agent, token)
        first_text = watcher.event().text
        token.rules("hardware", "C_Sign delay 6000")
        second = self.start_signing(agent, token)
        second_text = watcher.event().text
        self.assertIn(f"(pid {first.pid})", first_text)
        self.assertIn(f"(pid {second.pid})", second_text)
        self.assertEqual(watcher.event().text, second_text)  # the first is done
        self.assertEqual(watcher.event().text, "done")
        self.assertEqual((first.wait(), second.wait()), (0, 0))

    def start_signing(self, agent, token):
        return self.start_process(MTLS_BIN, "test", token.keys["work"].label,
                                  env={**os.environ, "MTLS_AGENT_SOCK": str(agent.socket)},
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_it_ends_when_the_module_is_killed(self):
        token, agent, watcher = self.touchy(("hardware", "C_Sign hang 1"), timeout="2s")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        self.assertIn("touch", watcher.event().text)
        self.assertIsInstance(client.wait(request), wire.Error)
        self.assertEqual(watcher.event().text, "done")

    def test_it_lasts_although_the_client_has_left(self):
        """The token blinks for nobody, but it blinks."""
        token, agent, watcher = self.touchy()
        client = self.connect(agent)
        self.ask(client, token.keys["work"])
        self.assertIn("touch", watcher.event().text)
        client.close()
        start = time.monotonic()
        self.assertEqual(watcher.event().text, "done")
        self.assertGreater(time.monotonic() - start, 0.2)

    def test_it_lasts_although_the_deadline_is_over(self):
        token, agent, watcher = self.touchy(("hardware", "C_Sign delay 3000"))
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"], deadline_ms=1500)
        self.assertIn("touch", watcher.event().text)
        self.assertEqual(client.wait(request).code, Code.TIMEOUT)
        start = time.monotonic()
        self.assertEqual(watcher.event().text, "done")
        self.assertGreater(time.monotonic() - start, 0.5)

    @needs_root
    def test_other_users_are_not_told(self):
        """The text names a program of somebody else."""
        token = self.faulty_token()
        token.rules(*self.QUICK)
        agent = self.serve(token, workers=1, sections=f"[agent]\nusers = {OTHER_UID}\n")
        os.chmod(agent.run_dir, 0o755)
        os.chmod(agent.socket, 0o666)
        stranger = self.start_process(
            "setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups",
            sys.executable, "-c", STRANGER, agent.socket, str(wire.__file__),
            stdout=subprocess.PIPE, text=True)
        self.assertEqual(stranger.stdout.readline(), "subscribed\n")
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        token.rules(*self.SLOW)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertIn("touch", watcher.event().text)
        self.assertEqual(watcher.event().text, "done")
        agent.reload()
        self.assertEqual(stranger.stdout.readline(), "event 1\n")


# Says the kinds of the events that come.
STRANGER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("wire", sys.argv[2])
wire = importlib.util.module_from_spec(spec)
sys.modules["wire"] = wire
spec.loader.exec_module(wire)
client = wire.Wire(sys.argv[1])
client.subscribe(wire.WAITING | wire.KEYS_CHANGED)
print("subscribed", flush=True)
print("event", client.event().kind, flush=True)
"""


if __name__ == "__main__":
    main()
