# SPDX-License-Identifier: Apache-2.0
"""Tokens that give few sessions, and HSMs that drop those that are idle: p11fault.so counts, over
all processes, and refuses what is too much."""

import time

import tls_messages
import wire
from faults import FaultTest, main
from harness import Kind, poll_until
from test_pin_unlock import UnlockTest
from wire import TokenState

IDLE_MS = 250


class SessionTest(FaultTest):
    REQUESTS = 40

    def hsm(self, *rules, keys=None, **options):
        """Hardware, so that the worker has several threads."""
        token = self.faulty_token(keys)
        token.rules("hardware", *rules)
        return token, self.serve(token, **options)

    def peak(self, token):
        """The most sessions that were open or asked for at a time."""
        return int.from_bytes((token.dir / "ctl.sessions").read_bytes()[:4], "little")

    def assert_all_sign(self, agent, token, count=REQUESTS, label="work"):
        """Many requests at once; every one is answered with a signature."""
        with agent.connect() as client:
            ids = [self.ask(client, token.keys[label]) for _ in range(count)]
            for request_id in ids:
                reply = client.wait(request_id)
                self.assertIsInstance(reply, wire.SignReply, reply)


class TestMaxSessions(SessionTest):
    def test_one_session_is_enough(self):
        token, agent = self.hsm("max-sessions 1", max_sessions=1)
        self.assert_all_sign(agent, token)
        self.assertEqual(self.peak(token), 1)

    def test_several_threads_have_a_session_each_and_no_more(self):
        token, agent = self.hsm("C_Sign delay 20", max_sessions=3)
        self.assert_all_sign(agent, token)
        self.assertEqual(self.peak(token), 3)

    def test_workers_share_the_sessions(self):
        token, agent = self.hsm("C_Sign delay 20", max_sessions=5, workers=2)
        poll_until(lambda: len(agent.workers()) == 2, what="two workers")
        agent.wait_for(lambda status: len(token.calling_pids("C_Login")) == 2, what="two logins")
        self.assert_all_sign(agent, token)
        self.assertEqual(len(token.calling_pids("C_Sign")), 2)
        self.assertLessEqual(self.peak(token), 5)
        self.assertGreaterEqual(self.peak(token), 3)

    def test_no_more_workers_than_sessions(self):
        token, agent = self.hsm("max-sessions 2", max_sessions=2, workers=4)
        agent.wait_for(lambda status: len(token.calling_pids("C_Login")) == 2, what="two logins")
        self.assert_all_sign(agent, token)
        self.assertEqual(len(agent.workers()), 2)
        self.assertEqual(self.peak(token), 2)

    def test_worker_that_is_replaced_keeps_to_the_limit(self):
        token, agent = self.hsm("max-sessions 1", "C_SignInit rv 30 1", max_sessions=1)
        self.assert_all_sign(agent, token)
        self.assertEqual(len(token.calling_pids("C_Login")), 2)
        self.assertEqual(self.peak(token), 1)

    def test_key_that_wants_its_pin_each_time_needs_no_second_session(self):
        token = self.faulty_token()
        token.key("each", always_auth=True)
        token.rules("hardware", "max-sessions 1")
        agent = self.serve(token, max_sessions=1)
        for label in ("each", "work", "each"):
            self.assert_all_sign(agent, token, 3, label)
        self.assertEqual(self.peak(token), 1)

    def test_operation_that_a_module_leaves_active_is_ended(self):
        """The only session is closed and opened again, with a new login by a fresh worker."""
        token, agent = self.hsm("C_SignInit rv 90 1", max_sessions=1)
        self.assert_all_sign(agent, token)
        self.assertEqual(self.peak(token), 1)


class TestTokenGivesNoMore(SessionTest):
    """Nobody told the agent: it finds out, and no request fails for it."""

    def test_fewer_sessions_than_threads(self):
        for limit in (1, 2, 3):
            with self.subTest(limit=limit):
                token, agent = self.hsm(f"max-sessions {limit}", "C_Sign delay 5")
                self.assert_all_sign(agent, token)
                self.assert_all_sign(agent, token)
                # Asked in vain once a second, not for every signature.
                self.assertLess(token.calls("C_OpenSession"), 20)
                self.assertEqual(len(token.calling_pids("C_Login")), 1)

    def test_sessions_that_others_give_back_are_used(self):
        token, agent = self.hsm("max-sessions 1", "C_Sign delay 5")
        self.assert_all_sign(agent, token)
        token.rules("hardware", "C_Sign delay 20")
        before = self.peak(token)
        time.sleep(1.1)  # it asks again after a second
        self.assert_all_sign(agent, token)
        self.assertGreater(self.peak(token), max(before, 2))


class TestDroppedSessions(SessionTest):
    def idle(self):
        time.sleep(2 * IDLE_MS / 1000)

    def test_signatures_after_a_pause_are_made(self):
        token, agent = self.hsm(f"drop-sessions {IDLE_MS}")
        for _ in range(3):
            self.assert_all_sign(agent, token, 8)
            self.idle()
        self.assert_all_sign(agent, token, 8)

    def test_with_the_only_session(self):
        token, agent = self.hsm(f"drop-sessions {IDLE_MS}", max_sessions=1)
        self.assert_all_sign(agent, token, 8)
        self.idle()
        self.assert_all_sign(agent, token, 8)
        self.assertEqual(self.peak(token), 1)

    def test_with_several_workers(self):
        token = self.faulty_token()
        token.rules(f"drop-sessions {IDLE_MS}")
        agent = self.serve(token, workers=3)
        agent.wait_for(lambda status: len(token.calling_pids("C_Login")) == 3, what="three logins")
        self.idle()
        self.assert_all_sign(agent, token, 30)

    def test_not_logged_in_after_the_drop(self):
        """Some open a session again by themselves and have forgotten the login."""
        token, agent = self.hsm("C_SignInit rv b3 1", "C_SignInit rv 101 1")
        self.assert_all_sign(agent, token, 8)


class TestDroppedBeforeUnlock(UnlockTest):
    def test_pin_of_a_person_meets_a_live_session(self):
        """A token that was idle before it was unlocked: the PIN is not spent on a dead session."""
        token, agent = self.locked()
        token.rules(f"drop-sessions {IDLE_MS}")
        time.sleep(2 * IDLE_MS / 1000)
        done = self.mtls(agent, "unlock", "--stdin", input=token.pin + "\n", stdin=None)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(token.calls("C_Login"), 1)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_lock_after_the_drop(self):
        token, agent = self.locked()
        done = self.mtls(agent, "unlock", "--stdin", input=token.pin + "\n", stdin=None)
        self.assertEqual(done.returncode, 0, done.stderr)
        token.rules(f"drop-sessions {IDLE_MS}")
        time.sleep(2 * IDLE_MS / 1000)
        self.assertEqual(self.mtls(agent, "lock").returncode, 0)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            self.assert_refused(wire.Code.LOCKED, client.sign, token.keys["work"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())


if __name__ == "__main__":
    main()
