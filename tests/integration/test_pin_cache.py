# SPDX-License-Identifier: Apache-2.0
"""`pin-cache`: a PIN that the token took is kept in ask-pin, for fresh workers, until something ends it."""

import os
import re
import signal
import time
from pathlib import Path

import harness
import tls_messages
import wire
from faults import main
from harness import Code, Kind, needs_no_sanitizer, needs_root, poll_until
from process_memory import memory_count, memory_has
from prompts import PromptTest, is_gone
from wire import ModuleState, TokenState

PIN = "Xq7-kept-pin-Vm2"


class CacheTest(PromptTest):
    def unlocked(self, token=None, cache="pin-cache = 8h\n", **options):
        """A token that a person unlocked with `mtls unlock`, and whose PIN is kept."""
        token, agent = self.locked(token, token_options=cache, **options)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
        return token, agent

    def fresh_worker(self, agent):
        """The workers die; until others have come up."""
        restarts = self.module(agent).restarts
        agent.kill_workers()
        self.wait_module(agent, lambda m: m.restarts > restarts and m.state == ModuleState.READY)

    def assert_locked(self, agent, token):
        with agent.connect() as client:
            self.assert_refused(Code.LOCKED, client.sign, token.keys["work"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())


class TestKeeping(CacheTest):
    def test_nothing_is_kept_by_default(self):
        token, agent = self.unlocked(cache="")
        self.wait_keepers(agent, 0)
        self.fresh_worker(agent)
        self.assert_locked(agent, token)

    def test_fresh_worker_after_a_crash(self):
        token, agent = self.unlocked()
        self.assertEqual(len(self.keepers(agent)), 1)
        for count in range(2, 4):
            self.fresh_worker(agent)
            self.assert_recovers(agent, token.keys["work"])
            self.assertEqual(token.calls("C_Login"), count)
        self.assertEqual(self.pinentry.dialogs, [])

    def test_pin_from_a_dialog(self):
        token, agent = self.locked(token_options="pin-cache = 8h\n")
        self.assertEqual(self.ask(agent, f"pin {token.pin}")[0], 0)
        self.fresh_worker(agent)
        self.assert_recovers(agent, token.keys["work"])
        self.assertEqual(len(self.pinentry.dialogs), 1)

    def test_pin_of_a_command(self):
        """Which may ask for a password of its own each time."""
        token = self.faulty_token()
        runs = token.dir / "runs"
        text = token.config(pin=f"command:echo run >> {runs}; echo {token.pin}", workers=1)
        agent = self.agent(text.replace("pin = command", "pin-cache = 8h\npin = command"))
        agent.wait_keys()
        self.fresh_worker(agent)
        self.assert_recovers(agent, token.keys["work"])
        self.assertEqual(runs.read_text(), "run\n")

    def test_several_workers_of_a_software_token(self):
        token, agent = self.locked(token_options="pin-cache = 8h\n", workers=3)
        with agent.connect() as client:
            client.unlock(token.pin)
            for _ in range(3):
                self.assert_signs(client, token.keys["work"])
        poll_until(lambda: len(agent.workers()) == 3, what="three workers")
        poll_until(lambda: token.calls("C_Login") >= 3, what="each logged in")
        self.assertEqual(len(self.keepers(agent)), 1)

    def test_wrong_pin_is_not_kept(self):
        token, agent = self.locked(token_options="pin-cache = 8h\n")
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, "0000")
        self.wait_keepers(agent, 0)

    @needs_root
    def test_it_is_in_ask_pin_and_not_in_the_core(self):
        token, agent = self.unlocked(self.faulty_token(pin=PIN))
        (keeper,) = self.keepers(agent)
        self.assertIsNotNone(memory_has(keeper, PIN), "the search finds nothing")
        self.assertIsNone(memory_has(agent.pid, PIN))

    @needs_no_sanitizer  # it keeps what was freed
    @needs_root
    def test_pin_from_a_dialog_is_there_once(self):
        """Not in what the pinentry's library read it into, either."""
        token, agent = self.locked(self.faulty_token(pin=PIN), token_options="pin-cache = 8h\n")
        self.assertEqual(self.ask(agent, f"pin {PIN}")[0], 0)
        (keeper,) = self.keepers(agent)
        self.assertEqual(memory_count(keeper, PIN.encode()), 1)

    def test_keeper_gives_nothing_away(self):
        _, agent = self.unlocked()
        (keeper,) = self.keepers(agent)
        process = Path(f"/proc/{keeper}")
        self.assertIn("NoNewPrivs:\t1", (process / "status").read_text())
        self.assertRegex((process / "limits").read_text(), r"Max core file size\s+0\s+0\s")
        self.assertEqual((process / "cmdline").read_bytes(), b"ask-pin\0")


class TestEnd(CacheTest):
    def test_absolute_limit(self):
        token, agent = self.unlocked(cache="pin-cache = 1500ms\n")
        (keeper,) = self.keepers(agent)
        with agent.connect() as watcher:
            watcher.subscribe(wire.TOKEN_CHANGED)
            self.assertIn("pin-cache", watcher.event().text)
        self.assertTrue(is_gone(keeper))
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assert_locked(agent, token)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])

    def test_idle_limit_begins_anew_with_each_signature(self):
        token, agent = self.unlocked(cache="pin-cache = 8h\npin-cache-idle = 2s\n")
        began = time.monotonic()
        with agent.connect() as client:
            while time.monotonic() - began < 3:
                self.assert_signs(client, token.keys["work"])
                time.sleep(0.2)
        self.assertEqual(len(self.keepers(agent)), 1)
        self.wait_keepers(agent, 0)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)

    def test_lock(self):
        token, agent = self.unlocked()
        with agent.connect() as client:
            client.lock()
        self.wait_keepers(agent, 0)
        self.assert_locked(agent, token)

    def test_killing_the_keeper_forgets_the_pin(self):
        token, agent = self.unlocked()
        (keeper,) = self.keepers(agent)
        os.kill(keeper, signal.SIGKILL)
        self.wait_keepers(agent, 0)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])  # the login is the worker's
        self.fresh_worker(agent)
        self.assert_locked(agent, token)

    def login_under_way(self, agent, token):
        """A fresh worker that logs in with the kept PIN, and takes a while for it."""
        count = token.calls("C_Login")
        token.rules("C_Login delay 1200 1")
        agent.kill_workers()
        token.wait_calls("C_Login", count + 1)

    def test_lock_during_a_login_with_it(self):
        token, agent = self.unlocked()
        self.login_under_way(agent, token)
        with agent.connect() as client:
            client.lock()
        self.wait_keepers(agent, 0)
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        self.assert_locked(agent, token)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
        agent.stop()

    def test_limit_during_a_login_with_it(self):
        token, agent = self.unlocked(cache="pin-cache = 2500ms\n")
        time.sleep(1)
        used = agent.cpu_seconds()
        self.login_under_way(agent, token)
        self.wait_keepers(agent, 0)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assertLess(agent.cpu_seconds() - used, 0.7)
        self.assert_locked(agent, token)
        agent.stop()

    def test_keeper_that_dies_during_a_login_with_it(self):
        """The source is asked again, and the dead one is not waited for."""
        token = self.faulty_token()
        text = token.config(pin=f"command:echo {token.pin}", workers=1, timeout=self.TIMEOUT)
        agent = self.agent(text.replace("pin = command", "pin-cache = 8h\npin = command"))
        agent.wait_keys()
        (keeper,) = self.keepers(agent)
        self.login_under_way(agent, token)
        os.kill(keeper, signal.SIGKILL)
        self.assert_recovers(agent, token.keys["work"])
        self.fresh_worker(agent)
        self.assert_recovers(agent, token.keys["work"])
        agent.stop()

    def test_configuration_that_wants_it_no_more(self):
        token, agent = self.unlocked()
        agent.reload(agent.config_file.read_text().replace("pin-cache = 8h\n", ""))
        self.wait_keepers(agent, 0)

    def test_removed_token(self):
        token, agent = self.unlocked()
        token.rules("removed demo")
        agent.kill_workers()
        self.wait_keepers(agent, 0)
        token.rules()
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assertEqual(token.calls("C_Login"), 1)

    def test_stop(self):
        _, agent = self.unlocked()
        (keeper,) = self.keepers(agent)
        agent.stop()
        self.assertTrue(is_gone(keeper))


def handles_sigusr1(agent):
    """The agent takes it from a signalfd, so it is blocked there."""
    status = Path(f"/proc/{agent.pid}/status").read_text()
    mask = int(re.search(r"SigBlk:\s+([0-9a-f]+)", status).group(1), 16)
    return mask >> (signal.SIGUSR1 - 1) & 1


class TestForget(CacheTest):
    """Suspend, screen lock, end of the session; here SIGUSR1, which does the same."""

    def forget(self, agent):
        if not handles_sigusr1(agent):
            self.skipTest("this agent has no SIGUSR1")
        agent.process.send_signal(signal.SIGUSR1)
        agent.wait_for_log("SIGUSR1 was sent")

    def test_kept_pin_and_login_are_gone(self):
        token, agent = self.unlocked()
        (keeper,) = self.keepers(agent)
        (worker,) = agent.workers()
        self.forget(agent)
        self.wait_keepers(agent, 0)
        self.assertTrue(is_gone(keeper))
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        poll_until(lambda: worker not in agent.workers(), what="the worker was replaced")
        self.assert_locked(agent, token)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])

    def test_login_without_a_kept_pin_is_gone(self):
        token, agent = self.unlocked(cache="")
        self.forget(agent)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assert_locked(agent, token)

    def test_dialog_closes(self):
        _, agent = self.locked()
        self.pinentry.answer("hang")
        client = self.start_asking(agent)
        (dialog,) = self.wait_dialogs(1)
        self.forget(agent)
        self.assertNotEqual(client.wait(30), 0)
        self.assertIn("withdrawn", client.stdout.read())
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")

    def test_source_of_its_own_stays(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        agent.wait_keys()
        self.forget(agent)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)


class TestRefused(CacheTest):
    def test_pin_that_was_changed_elsewhere_costs_one_try(self):
        token, agent = self.unlocked(self.counting_token())
        softhsm_change_pin(token, "5678")
        self.fresh_worker(agent)
        self.wait_keepers(agent, 0)
        self.assertEqual(token.calls("C_Login"), 2)
        self.assertEqual(token.tries_left(), self.TRIES - 1)
        for _ in range(2):
            self.fresh_worker(agent)
        self.assertEqual(token.calls("C_Login"), 2)
        self.assertEqual(self.ask(agent, "pin 5678")[0], 0)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_source_is_asked_for_the_new_one(self):
        token = self.counting_token()
        text = token.config(pin=f"command:cat {token.pin_file}", workers=1)
        agent = self.agent(text.replace("pin = command", "pin-cache = 8h\npin = command"))
        agent.wait_keys()
        softhsm_change_pin(token, "5678")
        token.set_pin_file("5678")
        agent.kill_workers()
        self.wait_keepers(agent, 0)  # one try is lost: from now on only a person's PIN is tried
        token.tries_left(self.TRIES)
        agent.kill_workers()
        self.assert_recovers(agent, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 3)

    def test_not_used_when_tries_are_low(self):
        token, agent = self.unlocked(self.counting_token())
        token.tries_left(self.TRIES - 1)
        self.fresh_worker(agent)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assertEqual(token.calls("C_Login"), 1)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])

    def test_worker_that_dies_in_the_login_is_not_given_it_again(self):
        token, agent = self.unlocked()
        token.rules("C_Login crash")
        agent.kill_workers()
        self.wait_keepers(agent, 0)
        token.rules()
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assertEqual(token.calls("C_Login"), 2)


def softhsm_change_pin(token, pin):
    """As another program would."""
    harness.softhsm.run("pkcs11-tool", "--module", harness.MODULE, "--token-label", token.label,
                        "--login", "--pin", token.pin, "--change-pin", "--new-pin", pin,
                        env=token.environment)


if __name__ == "__main__":
    main()
