# SPDX-License-Identifier: Apache-2.0
"""What logind says: sleep, locked screens, ended sessions. And what a person says with SIGUSR1."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

import tls_messages
import wire
from bus import BusTest, HangingBus, needs_bus
from harness import Code, Kind, main, needs_no_sanitizer, poll_until
from wire import TokenState

OTHER_UID = os.getuid() + 1
UNIT = Path(__file__).resolve().parents[2] / "systemd/system/mtls-agent.service.in"


@needs_bus
class LogindTest(BusTest):
    def setUp(self):
        self.the_bus = self.bus()
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": self.the_bus.address}

    def logind(self, sessions=(("1", os.getuid(), "user"),)):
        return self.fake("fake-logind", self.the_bus, *(":".join(map(str, s)) for s in sessions))

    def wait_followed(self, logind, *ids):
        """Until the agent has taken its delay lock and asked for the sessions."""
        logind.wait("inhibit")
        logind.wait("listed")
        for session in ids:
            logind.wait(f"got {session}")

    def followed(self, sessions=(("1", os.getuid(), "user"),)):
        """(token, agent with its login typed, logind that the agent follows)"""
        token = self.faulty_token()
        logind = self.logind(sessions)
        agent = self.serve_typed(token, self.env)
        self.wait_followed(logind, *(s[0] for s in sessions if s[1] == os.getuid()))
        self.unlock(agent, token)
        return token, agent, logind

    def assert_unlocked(self, agent, token):
        self.assertEqual(self.token_status(agent).state, TokenState.READY)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])


class TestSleep(LogindTest):
    def test_delay_lock_is_taken_at_the_start(self):
        logind = self.logind()
        self.agent(env=self.env)
        self.assertTrue(logind.wait("inhibit").endswith(" sleep delay"))

    def test_typed_login_is_gone_before_sleep(self):
        token, agent, logind = self.followed()
        (worker,) = agent.workers()
        self.assertFalse(logind.has_said("released"))
        logind("sleep", 1)
        logind.wait("released")
        # the process that knew the PIN had ended before sleep was let go on
        self.assertNotIn(worker, agent.workers())
        self.wait_locked(agent)
        with agent.connect() as client:
            self.assert_refused(Code.LOCKED, client.sign, token.keys["work"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())

    def test_delay_lock_is_taken_again_after_sleep(self):
        _, _, logind = self.followed()
        logind("sleep", 1)
        logind.wait("released")
        logind("sleep", 0)
        logind.wait("inhibit")
        logind("sleep", 1)
        logind.wait("released")

    def test_sleep_waits_for_the_signature_under_way(self):
        token, agent, logind = self.followed()
        token.rules("C_Sign delay 2000")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        token.wait_calls("C_Sign", 2)
        logind("sleep", 1)
        logind("add", "2", os.getuid(), "user")
        logind.wait("got 2")  # what came before was dealt with
        self.assertNotIn("released", logind.seen)
        self.assertIsInstance(client.wait(request), wire.SignReply)
        logind.wait("released")

    def test_sleep_does_not_wait_for_a_module_that_hangs(self):
        token, agent, logind = self.followed()
        agent.reload(token.config(pin="ask", workers=1, timeout="30s"))
        self.wait_locked(agent)
        self.unlock(agent, token)
        token.rules("C_Sign hang")
        client = self.connect(agent)
        self.ask(client, token.keys["work"])
        token.wait_calls("C_Sign", 3)
        start = time.monotonic()
        logind("sleep", 1)
        logind.wait("released")
        self.assertLess(time.monotonic() - start, 5)  # logind waits for no longer
        agent.wait_for_log("still busy as the system goes to sleep")

    def test_without_a_delay_lock(self):
        """A polkit rule may forbid it."""
        token = self.faulty_token()
        logind = self.logind()
        logind("refuse")
        agent = self.serve_typed(token, self.env)
        logind.wait("refused")
        logind.wait("got 1")
        self.unlock(agent, token)
        logind("sleep", 1)
        self.wait_locked(agent)
        agent.wait_for_log("does not let us delay sleep")

    def test_hardware_is_looked_at_again_after_sleep(self):
        token = self.faulty_token()
        token.rules("hardware")
        software = self.other_token()
        logind = self.logind()
        agent = self.serve(token, sections=software.config(module="software", workers=1),
                           agent_options={"env": self.env}, workers=1)
        agent.wait_keys(2)
        self.wait_followed(logind)
        before = set(agent.workers())
        (hardware,) = token.calling_pids("C_Initialize")
        logind("sleep", 1)
        logind.wait("released")
        self.assertEqual(set(agent.workers()), before)  # its PIN has a source
        logind("sleep", 0)
        poll_until(lambda: hardware not in agent.workers(), what="a fresh worker")
        self.assert_recovers(agent, token.keys["work"])
        self.assertLessEqual(before - {hardware}, set(agent.workers()))  # software stays

    def test_configured_login_survives_in_software(self):
        token = self.faulty_token()
        logind = self.logind()
        agent = self.serve(token, agent_options={"env": self.env}, workers=1)
        self.wait_followed(logind)
        logins = token.calls("C_Login")
        logind("sleep", 1)
        logind.wait("released")
        logind("sleep", 0)
        logind.wait("inhibit")
        self.assert_unlocked(agent, token)
        self.assertEqual(token.calls("C_Login"), logins)


class TestLock(LogindTest):
    def test_lock_signal(self):
        token, agent, logind = self.followed()
        watcher = self.connect(agent)
        watcher.subscribe(wire.TOKEN_CHANGED)
        logind("lock", "1")
        event = watcher.event()
        self.assertEqual((event.subject, event.text), (token.label, "locked: the session was locked"))
        self.wait_locked(agent)
        agent.wait_for_log("forgot the PINs of 1 tokens: the session was locked")

    def test_locked_hint(self):
        token, agent, logind = self.followed()
        logind("hint", "1", 1)
        self.wait_locked(agent)
        self.unlock(agent, token)  # with the screen still locked: from elsewhere
        logind("hint", "1", 0)
        logind("lock", "1")  # to know when the hint was dealt with
        self.wait_locked(agent)
        self.assertEqual(agent.log().count("the screen was locked"), 1)

    def test_sessions_of_other_users_do_not_matter(self):
        token, agent, logind = self.followed((("1", os.getuid(), "user"),
                                              ("2", OTHER_UID, "user")))
        logind("lock", "2")
        logind("hint", "2", 1)
        logind("remove", "2")
        logind("add", "3", os.getuid(), "user")
        logind.wait("got 3")  # what came before was dealt with
        self.assert_unlocked(agent, token)

    def test_session_that_came_later(self):
        token, agent, logind = self.followed(())
        logind("add", "5", os.getuid(), "user")
        logind.wait("got 5")
        self.assert_unlocked(agent, token)
        logind("lock", "5")
        self.wait_locked(agent)

    def test_pin_that_is_being_typed(self):
        """An UNLOCK whose PIN has not come yet does not succeed behind a locked screen."""
        token = self.faulty_token()
        logind = self.logind()
        agent = self.serve_typed(token, self.env)
        self.wait_followed(logind, "1")
        client = self.connect(agent)
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        request = client.next_id()
        client.send(wire.unlock(request), [reader])
        os.close(reader)
        agent.status()  # the UNLOCK was read before
        logind("lock", "1")
        agent.wait_for_log("forgot the PINs")
        with contextlib.suppress(BrokenPipeError):  # nobody reads it any more
            os.write(writer, token.pin.encode() + b"\n")
        self.assertIsInstance(client.wait(request), wire.Error)
        self.wait_locked(agent)
        self.assertEqual(self.token_status(agent).state, TokenState.LOCKED)


class TestEnd(LogindTest):
    def test_last_session_ends(self):
        _, agent, logind = self.followed((("1", os.getuid(), "user"), ("2", os.getuid(), "user")))
        logind("remove", "1")
        logind("add", "3", OTHER_UID, "user")
        logind.wait("listed")
        self.assertEqual(self.token_status(agent).state, TokenState.READY)
        logind("remove", "2")
        self.wait_locked(agent)
        agent.wait_for_log("the last session of the user ended")

    def test_person_who_left_a_program_behind(self):
        """logind keeps the session as long as the program runs (KillUserProcesses=no)."""
        leaders = [self.start_process("cat", stdin=subprocess.PIPE) for _ in range(2)]
        token, agent, logind = self.followed([(str(number), os.getuid(), "user", leader.pid)
                                              for number, leader in enumerate(leaders, 1)])
        leaders[0].communicate()
        logind("add", "3", OTHER_UID, "user")
        logind.wait("listed")
        self.assert_unlocked(agent, token)
        leaders[1].communicate()
        self.wait_locked(agent)
        agent.wait_for_log("the last session of the user ended")

    def test_session_that_was_left_before(self):
        """It counts no more than one that has ended."""
        logind = self.logind((("1", os.getuid(), "user"), ("2", os.getuid(), "user")))
        logind("leave", "1")
        token = self.faulty_token()
        agent = self.serve_typed(token, self.env)
        self.wait_followed(logind, "1", "2")
        self.unlock(agent, token)
        logind("remove", "2")
        self.wait_locked(agent)

    def test_leader_that_cannot_be_seen(self):
        """It is in another namespace of processes; that says nothing."""
        gone = self.start_process("true")
        gone.wait()
        token, agent, logind = self.followed((("1", os.getuid(), "user", gone.pid),))
        self.assert_unlocked(agent, token)
        logind("remove", "1")
        self.wait_locked(agent)

    def test_session_that_ended_unheard(self):
        _, agent, logind = self.followed()
        logind("quiet-remove", "1")
        logind("add", "2", OTHER_UID, "user")  # the list is read again
        self.wait_locked(agent)

    def test_sessions_without_a_person_do_not_count(self):
        """The user manager's own session outlives its user with lingering; cron's are short."""
        token, agent, logind = self.followed((("1", os.getuid(), "user"),
                                              ("2", os.getuid(), "manager"),
                                              ("3", os.getuid(), "background")))
        logind("remove", "3")
        logind("add", "4", os.getuid(), "background")
        logind.wait("got 4")
        self.assert_unlocked(agent, token)
        logind("remove", "1")
        self.wait_locked(agent)

    def test_without_a_session_only_sleep_counts(self):
        token, agent, logind = self.followed((("7", OTHER_UID, "user"),))
        logind("remove", "7")
        logind("add", "8", OTHER_UID, "user")
        logind.wait("listed")
        self.assert_unlocked(agent, token)
        logind("sleep", 1)
        logind.wait("released")
        self.wait_locked(agent)


class TestBus(LogindTest):
    def test_logind_comes_later(self):
        token = self.faulty_token()
        agent = self.serve_typed(token, self.env)
        self.unlock(agent, token)
        logind = self.logind()
        self.wait_followed(logind, "1")
        logind("lock", "1")
        self.wait_locked(agent)

    def test_logind_is_restarted(self):
        token, agent, logind = self.followed((("1", os.getuid(), "user"),
                                              ("2", os.getuid(), "user")))
        logind.end()
        logind = self.logind((("2", os.getuid(), "user"),))
        self.wait_followed(logind, "2")
        self.assert_unlocked(agent, token)
        logind("remove", "2")  # the other one had ended while nobody listened
        self.wait_locked(agent)

    def test_bus_is_restarted(self):
        token, agent, logind = self.followed()
        self.the_bus.stop()
        logind.end()
        self.assert_unlocked(agent, token)
        self.the_bus.start()
        logind = self.logind()
        self.wait_followed(logind, "1")
        self.assert_unlocked(agent, token)
        logind("sleep", 1)
        logind.wait("released")
        self.wait_locked(agent)

    def test_bus_comes_later(self):
        self.the_bus.stop()
        token = self.faulty_token()
        agent = self.serve_typed(token, self.env)
        self.unlock(agent, token)
        self.the_bus.start()
        logind = self.logind()
        self.wait_followed(logind, "1")
        logind("lock", "1")
        self.wait_locked(agent)

    def test_bus_that_never_answers(self):
        hanging = HangingBus(self.the_bus.dir)
        self.addCleanup(hanging.close)
        token = self.faulty_token()
        agent = self.serve_typed(token, {"DBUS_SYSTEM_BUS_ADDRESS": hanging.address})
        self.unlock(agent, token)
        with agent.connect() as client:
            for _ in range(20):
                self.assertLess(self.timed(client.keys), 1)
        agent.stop()  # in time, too

    def test_bus_that_stops_answering(self):
        token, agent, _ = self.followed()
        self.the_bus.process.send_signal(signal.SIGSTOP)
        agent.process.send_signal(signal.SIGUSR1)
        self.wait_locked(agent)
        self.unlock(agent, token)
        with agent.connect() as client:
            for _ in range(20):
                self.assertLess(self.timed(client.keys), 1)
        agent.stop()

    def test_bus_that_never_answered_is_given_up(self):
        """After 10 s; then the one that has come in its place is found."""
        hanging = HangingBus(self.the_bus.dir)
        self.addCleanup(hanging.close)
        agent = self.agent(env={"DBUS_SYSTEM_BUS_ADDRESS": hanging.address})
        hanging.accept()
        hanging.path.unlink()
        hanging.path.symlink_to(self.the_bus.dir / "bus")
        logind = self.logind()
        logind.wait("inhibit", 20)
        self.assert_serves(agent)

    def test_address_that_is_no_unix_socket(self):
        program = self.the_bus.dir / "ran"
        agent = self.agent(env={"DBUS_SYSTEM_BUS_ADDRESS":
                                f"unixexec:path=/usr/bin/touch,argv1={program}"})
        agent.wait_for_log("is not a Unix socket")
        self.assert_serves(agent)
        self.assertFalse(program.exists())

    @unittest.skipUnless(shutil.which("dbus-send"), "no dbus-send")
    def test_nobody_else_is_believed(self):
        token = self.faulty_token()
        logind = self.logind()
        agent = self.serve_typed(token, self.env)
        name = logind.wait("inhibit").split()[1]
        logind.wait("got 1")
        self.unlock(agent, token)
        for path, member, *args in (
                ("/org/freedesktop/login1", "Manager.PrepareForSleep", "boolean:true"),
                ("/org/freedesktop/login1", "Manager.SessionRemoved", "string:1",
                 "objpath:/org/freedesktop/login1/session/_31"),
                ("/org/freedesktop/login1/session/_31", "Session.Lock")):
            subprocess.run(["dbus-send", f"--bus={self.the_bus.address}", f"--dest={name}",
                            "--type=signal", path, f"org.freedesktop.login1.{member}", *args],
                           check=True, timeout=30)
        logind("add", "9", os.getuid(), "user")
        logind.wait("got 9")  # the forged signals were read before
        self.assert_unlocked(agent, token)
        self.assertNotIn("forgot", agent.log())


@unittest.skipUnless(shutil.which("strace") and shutil.which("systemd-analyze"),
                     "no strace, or no systemd-analyze")
class TestUnits(LogindTest):
    """The units' SystemCallFilter= lets the agent talk to a bus."""

    def allowed(self):
        """System calls that a unit's lines allow."""
        names = set()
        for line in UNIT.read_text().splitlines():
            if not line.startswith("SystemCallFilter="):
                continue
            listed = set()
            for word in line.partition("=")[2].lstrip("~").split():
                listed |= self.members(word)
            names = names - listed if line.startswith("SystemCallFilter=~") else names | listed
        return names

    def members(self, group):
        if not group.startswith("@"):
            return {group}
        listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group],
                                capture_output=True, text=True, timeout=30, check=True).stdout
        words = [line.strip() for line in listed.splitlines()[1:] if line.strip()]
        return set().union(*(self.members(w) for w in words if not w.startswith("#")))

    def calls(self, env, wait):
        trace = self.the_bus.dir / "trace"
        agent = self.agent(env=env, wrap=["strace", "-qq", "-o", str(trace)], start=False)
        # who is traced cannot be stopped through its tracer
        agent.start(start_new_session=True)
        wait()
        os.killpg(agent.pid, signal.SIGTERM)
        agent.wait_exit()
        return set(re.findall(r"^(\w+)\(", trace.read_text(), re.M))

    @needs_no_sanitizer
    def test_system_calls_of_the_bus_are_allowed(self):
        without = self.calls({}, lambda: None)
        logind = self.logind()
        desktop = self.fake("fake-notifications", self.the_bus)
        self.assertIsNotNone(desktop)

        def sleep():
            self.wait_followed(logind, "1")
            logind("sleep", 1)
            logind.wait("released")
        used = self.calls({**self.env, "DBUS_SESSION_BUS_ADDRESS": self.the_bus.address}, sleep)
        self.assertIn("recvmsg", used)
        self.assertEqual(used - without - self.allowed(), set())


class TestSignal(BusTest):
    def test_sigusr1_forgets(self):
        token = self.faulty_token()
        agent = self.serve_typed(token, {})
        self.unlock(agent, token)
        (worker,) = agent.workers()
        agent.process.send_signal(signal.SIGUSR1)
        self.wait_locked(agent)
        poll_until(lambda: worker not in agent.workers(), what="the process that knew the PIN ends")
        self.assertRegex(agent.log(), "forgot the PINs of 1 tokens: SIGUSR1 was sent")
        self.unlock(agent, token)

    def test_sigusr1_leaves_configured_logins(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        workers = agent.workers()
        agent.process.send_signal(signal.SIGUSR1)
        agent.wait_for_log("SIGUSR1 was sent: there was no PIN to forget")
        self.assertEqual(agent.workers(), workers)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_sigusr1_again_and_again(self):
        agent = self.agent()
        for _ in range(50):
            agent.process.send_signal(signal.SIGUSR1)
        self.assert_serves(agent)
        agent.stop()


if __name__ == "__main__":
    main()
