# SPDX-License-Identifier: Apache-2.0
"""The wall clock jumps by years, the system sleeps: no deadline, no pause, no timer may follow."""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

import harness
import tls_messages
import wire
from faults import FaultTest
from harness import Code, Kind, MTLS_BIN, needs_no_sanitizer
from test_load_io import INTERPOSE

TEN_YEARS = 10 * 365 * 86400
CLOCK_REALTIME, CLOCK_REALTIME_ALARM = 0, 8


def timer_clocks(pid):
    """Clock ids of the timers that a process has open."""
    found = []
    for fd in os.listdir(harness.look_inside(pid, "fd")):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:[timerfd]":
                text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
                found.append(int(re.search(r"clockid: (\d+)", text).group(1)))
    return found


class TestClock(FaultTest):
    def setUp(self):
        self.the_token = self.faulty_token()
        self.key = self.the_token.keys["work"]
        self.the_agent = self.agent(start=False)
        self.clock = self.the_agent.dir / "clock"
        self.slept = self.the_agent.dir / "slept"
        for file in (self.clock, self.slept):
            file.write_text("0")

    def start(self):
        environment = [f"LD_PRELOAD={INTERPOSE}", f"INTERPOSE_CLOCK={self.clock}",
                       f"INTERPOSE_SLEEP={self.slept}"]
        self.the_agent.configure(
            self.the_token.config(workers=1, timeout="5s", environment=environment) +
            f"[agent]\naudit = file:{self.the_agent.audit_file}\n")
        self.the_agent.env.update(dict(e.split("=", 1) for e in environment))
        self.the_agent.start()
        self.the_agent.wait_keys()
        return self.connect(self.the_agent)

    def jump(self, seconds):
        self.clock.write_text(f"{seconds:<30}")

    def sign(self, client, deadline_ms=0):
        return client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify(), deadline_ms)

    @needs_no_sanitizer
    def test_the_clock_of_the_agent_is_really_changed(self):
        client = self.start()
        self.jump(-TEN_YEARS)
        self.sign(client)
        year = time.gmtime(time.time() - TEN_YEARS).tm_year
        self.assertIn(f'"time":"{year}-', self.the_agent.audit()[-1])

    @needs_no_sanitizer
    def test_requests_work_through_jumps_in_both_directions(self):
        client = self.start()
        for seconds in (TEN_YEARS, -TEN_YEARS, 0, -1, 1, 3600):
            self.jump(seconds)
            self.assert_signs(client, self.key)
            self.assertEqual(len(client.keys()), 1)

    @needs_no_sanitizer
    def test_deadline_is_neither_cut_short_nor_stretched(self):
        client = self.start()
        for seconds in (TEN_YEARS, -TEN_YEARS):
            with self.subTest(seconds=seconds):
                self.jump(0)
                self.the_token.rules("C_Sign delay 2000")
                client.send(wire.sign(9000, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                                      tls_messages.certificate_verify(), 20_000))
                self.the_agent.wait_for(lambda s: s.queued == 1)
                self.jump(seconds)
                self.assertIsInstance(client.wait(9000), wire.SignReply)
                start = time.monotonic()
                self.assert_refused(Code.TIMEOUT, self.sign, client, 200)
                self.assertLess(time.monotonic() - start, 1.8)
                self.the_token.rules()
                self.assertTrue(self.sign(client))

    @needs_no_sanitizer
    def test_sleep_is_nobodys_time(self):
        """What had begun before a night's sleep goes on after it, within the time that it had left."""
        client, idle, begun = self.start(), self.connect(self.the_agent), self.connect(
            self.the_agent)
        begun.send(wire.status(1)[:-1])
        self.the_token.rules("C_Sign delay 2000")
        client.send(wire.sign(9000, self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                              tls_messages.certificate_verify(), 20_000))
        self.the_token.wait_calls("C_Sign", 1)
        workers = self.the_agent.workers()
        self.slept.write_text(str(9 * 3600))
        self.assertIsInstance(client.wait(9000), wire.SignReply)
        self.assertEqual(self.the_agent.workers(), workers)
        begun.send(wire.status(1)[-1:])
        self.assertIsInstance(begun.wait(1), wire.Status)
        self.assertEqual(len(idle.keys()), 1)
        start = time.monotonic()
        self.assert_refused(Code.TIMEOUT, self.sign, client, 200)  # and there are still deadlines
        self.assertLess(time.monotonic() - start, 1.8)

    @needs_no_sanitizer
    def test_program_that_waits_neither_fails_nor_hangs(self):
        """Library and command, whose own clock jumps while the token takes its time."""
        self.start()
        for seconds in (TEN_YEARS, -TEN_YEARS):
            with self.subTest(seconds=seconds):
                self.jump(0)
                self.the_token.rules("C_Sign delay 700")
                start = time.monotonic()
                program = self.start_process(MTLS_BIN, "test", "work", stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, text=True, env={
                                                 **os.environ, "LD_PRELOAD": INTERPOSE,
                                                 "INTERPOSE_CLOCK": str(self.clock),
                                                 "MTLS_AGENT_SOCK": str(self.the_agent.socket)})
                self.the_agent.wait_for(lambda s: s.queued == 1)
                self.jump(seconds)
                output, errors = program.communicate(timeout=20)
                self.assertEqual(program.returncode, 0, errors)
                self.assertGreater(time.monotonic() - start, 0.65)
                taken = int(re.search(r"(\d+)(?:\.\d+)? ms", output).group(1))
                self.assertLess(taken, 20_000, "the time that it shows jumped")
                self.the_token.rules()

    @needs_no_sanitizer
    def test_validity_of_a_certificate_goes_by_the_wall_clock(self):
        self.start()
        shown = {}
        for seconds in (0, TEN_YEARS):
            self.jump(seconds)
            shown[seconds] = subprocess.run(
                [MTLS_BIN, "list"], capture_output=True, text=True, timeout=20, check=True,
                env={**os.environ, "LD_PRELOAD": INTERPOSE, "INTERPOSE_CLOCK": str(self.clock),
                     "MTLS_AGENT_SOCK": str(self.the_agent.socket)}).stdout
        self.assertRegex(shown[0], r"in \d+ days|days")
        self.assertRegex(shown[TEN_YEARS], "expired")
        self.assertNotIn("expired", shown[0])

    @needs_no_sanitizer
    def test_uptime_does_not_jump(self):
        client = self.start()
        before = client.status().uptime_ms
        for seconds in (TEN_YEARS, -TEN_YEARS):
            self.jump(seconds)
            after = client.status().uptime_ms
            self.assertGreaterEqual(after, before)
            self.assertLess(after - before, 60_000)

    @needs_no_sanitizer
    def test_jump_while_a_worker_is_restarted(self):
        client = self.start()
        self.jump(-TEN_YEARS)
        os.kill(self.the_agent.workers()[0], harness.signal.SIGKILL)
        self.the_agent.wait_keys(deadline=10)
        self.jump(TEN_YEARS)
        self.assert_signs(client, self.key)

    def test_no_timer_runs_on_the_wall_clock(self):
        agent = self.serve(self.the_token)
        client = self.connect(agent)
        client.send(b"\0")  # a frame deadline runs
        clocks = timer_clocks(agent.pid) + [c for p in agent.workers() for c in timer_clocks(p)]
        self.assertTrue(clocks, "the agent has no timer at all")
        self.assertFalse(set(clocks) & {CLOCK_REALTIME, CLOCK_REALTIME_ALARM})


if __name__ == "__main__":
    harness.main()
