# SPDX-License-Identifier: Apache-2.0
"""Keys that want their PIN for every signature: a dialog for each, or the kept PIN where that is allowed."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import tls_messages
import wire
from faults import main
from harness import Code, Kind, needs_no_sanitizer, poll_until
from prompts import DISPLAY, PromptTest, is_gone
from wire import TokenState

SIGN = textwrap.dedent("""\
    import sys
    sys.path.insert(0, sys.argv[1])
    import tls_messages, wire
    client = wire.Wire(sys.argv[2])
    try:
        client.sign(bytes.fromhex(sys.argv[3]), wire.ECDSA_SHA256, wire.Kind.TLS13,
                    tls_messages.certificate_verify())
        print("signed")
    except wire.Refused as refused:
        print(refused.code.name, refused.text)
    """)


class ContextTest(PromptTest):
    KEY_SECTION = ""

    def opened(self, token=None, token_options="", section=""):
        """A token with the keys "plain" and "consent" that a person has unlocked."""
        token = token or self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.key("consent", always_auth=True)
        token, agent = self.locked(token, token_options=token_options, agent_section=section)
        with agent.connect() as client:
            client.unlock(token.pin)
        self.wait_token(agent, lambda t: t.state == TokenState.READY)
        return token, agent

    def start_signing(self, agent, key):
        """A program with a display of its own that makes one signature."""
        return self.start_process(
            sys.executable, "-c", SIGN, os.path.dirname(wire.__file__), agent.socket, key.hash.hex(),
            env=DISPLAY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            start_new_session=True)

    def sign(self, agent, key, *answers):
        self.pinentry.answer(*answers)
        return self.start_signing(agent, key).communicate(timeout=30)[0].strip()


class TestDialog(ContextTest):
    def test_one_for_each_signature(self):
        token, agent = self.opened()
        for count in range(1, 4):
            self.assertEqual(self.sign(agent, token.keys["consent"], f"pin {token.pin}"), "signed")
            self.assertEqual(len(self.pinentry.dialogs), count)
        self.assertEqual(token.calls("C_Login"), 1 + 3)

    def test_it_names_the_key_and_the_program(self):
        token, agent = self.opened()
        self.sign(agent, token.keys["consent"], "cancel")
        text = self.pinentry.dialogs[0]["SETDESC"]
        self.assertIn("for one signature", text)
        self.assertIn("Key: consent", text)
        self.assertIn("Program: " + os.path.realpath(sys.executable), text)

    def test_cancelled(self):
        token, agent = self.opened()
        self.assertRegex(self.sign(agent, token.keys["consent"], "cancel"), "^PIN .*cancelled")
        self.assertRegex(self.sign(agent, token.keys["consent"], f"pin {token.pin}"),
                         "^PIN .*a moment ago")
        self.assertEqual(token.calls("C_Login"), 1)

    def test_wrong_pin_costs_one_try(self):
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.rules("pin-tries 3")
        token, agent = self.opened(token)
        self.assertRegex(self.sign(agent, token.keys["consent"], "pin 0000", "pin 0000"),
                         "^PIN .*refused")
        self.assertEqual(token.tries_left(), 2)
        self.assertEqual(len(self.pinentry.dialogs), 1)
        self.assertEqual(self.sign(agent, token.keys["consent"], f"pin {token.pin}"), "signed")
        self.assertIn("Refused since the last right PIN: 1", self.pinentry.dialogs[-1]["SETDESC"])

    def test_last_try_is_told_and_taken(self):
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.rules("pin-tries 3")
        token, agent = self.opened(token)
        for _ in range(2):
            self.assertRegex(self.sign(agent, token.keys["consent"], "pin 0000"), "^PIN .*refused")
        self.assertEqual(self.sign(agent, token.keys["consent"], f"pin {token.pin}"), "signed")
        self.assertIn("LAST TRY", self.pinentry.dialogs[-1]["SETDESC"])
        self.assertEqual(self.sign(agent, token.keys["consent"], f"pin {token.pin}"), "signed")
        self.assertNotIn("LAST TRY", self.pinentry.dialogs[-1]["SETDESC"])

    @needs_no_sanitizer
    def test_card_that_went_meanwhile(self):
        """The program waits for it; the PIN does not, and its process is of no account.

        A sanitizer that looks for leaks as a process is killed leaves a zombie that nobody can reap.
        """
        token, agent = self.opened()
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} {token.pin}")
        with agent.connect() as watcher:
            watcher.subscribe(wire.WAITING)
            self.start_signing(agent, token.keys["consent"])
            self.wait_dialogs(1)
            token.rules("removed demo")
            agent.kill_workers()
            poll_until(lambda: not agent.status().tokens, what="the token is not listed")
            keepers = self.keepers(agent)
            gate.touch()
            self.assertIn("waits to use key consent", watcher.event().text)
            for pid in keepers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait_keepers(agent, 0)
            self.assertEqual(agent.status().queued, 1)
        agent.stop()

    def test_other_keys_are_not_held_up(self):
        token, agent = self.opened()
        self.pinentry.answer("hang")
        self.start_signing(agent, token.keys["consent"])
        self.wait_dialogs(1)
        with agent.connect() as client:
            for _ in range(3):
                self.assert_signs(client, token.keys["plain"])

    def test_one_dialog_at_a_time(self):
        token, agent = self.opened()
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} {token.pin}", *[f"pin {token.pin}"] * 2)
        programs = [self.start_signing(agent, token.keys["consent"]) for _ in range(3)]
        poll_until(lambda: agent.status().queued >= 3, what="all wait")
        self.wait_dialogs(1)
        self.assertEqual(len(self.pinentry.dialogs), 1)
        gate.touch()
        for program in programs:
            self.assertEqual(program.communicate(timeout=30)[0], "signed\n")
        self.assertEqual(len(self.pinentry.dialogs), 3)

    def test_program_that_leaves_closes_its_dialog(self):
        token, agent = self.opened()
        self.pinentry.answer("hang", f"pin {token.pin}")
        first = self.start_signing(agent, token.keys["consent"])
        (dialog,) = self.wait_dialogs(1)
        second = self.start_signing(agent, token.keys["consent"])
        poll_until(lambda: agent.status().queued >= 2, what="both wait")
        first.kill()
        self.assertEqual(second.communicate(timeout=30)[0], "signed\n")
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")

    def test_worker_that_dies_meanwhile_costs_no_second_dialog(self):
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token, agent = self.opened(token, token_options="pin-cache = 1h\n")
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} {token.pin}")
        program = self.start_signing(agent, token.keys["consent"])
        self.wait_dialogs(1)
        agent.kill_workers()
        gate.touch()
        self.assertEqual(program.communicate(timeout=30)[0], "signed\n")
        self.assertEqual(len(self.pinentry.dialogs), 1)

    def test_stop(self):
        token, agent = self.opened()
        self.pinentry.answer("hang")
        self.start_signing(agent, token.keys["consent"])
        (dialog,) = self.wait_dialogs(1)
        agent.stop()
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")


class TestKeptPin(ContextTest):
    SECTION = "[key consent]\nuri = pkcs11:token=demo;object=consent\npin-cache = yes\n[agent]\n"

    def test_where_the_key_allows_it(self):
        token, agent = self.opened(token_options="pin-cache = 1h\n", section=self.SECTION)
        with agent.connect() as client:
            for _ in range(3):
                self.assert_signs(client, token.keys["consent"])
        self.assertEqual(self.pinentry.dialogs, [])
        self.assertEqual(token.calls("C_Login"), 1 + 3)

    def test_not_by_the_tokens_cache_alone(self):
        token, agent = self.opened(token_options="pin-cache = 1h\n")
        self.assertEqual(self.sign(agent, token.keys["consent"], f"pin {token.pin}"), "signed")
        self.assertEqual(len(self.pinentry.dialogs), 1)

    def test_not_when_tries_are_low(self):
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.rules("pin-tries 3")
        token, agent = self.opened(token, token_options="pin-cache = 1h\n", section=self.SECTION)
        token.tries_left(1)
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.sign, token.keys["consent"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())
        self.assertEqual(token.tries_left(), 1)

    def test_refused_it_is_forgotten(self):
        token, agent = self.opened(token_options="pin-cache = 1h\n", section=self.SECTION)
        token.rules("C_Login rv a0")
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.sign, token.keys["consent"].hash,
                                wire.ECDSA_SHA256, Kind.TLS13, tls_messages.certificate_verify())
        self.wait_keepers(agent, 0)
        token.rules()
        self.assertEqual(self.sign(agent, token.keys["consent"], f"pin {token.pin}"), "signed")
        self.assertEqual(len(self.pinentry.dialogs), 1)


class TestSource(ContextTest):
    """The login is the source's first run; what follows are single signatures."""

    UNTIL_GATE = "until [ -e GATE ]; do sleep 0.05; done"

    def serve_source(self, then):
        """(token, agent, file with a line for each run); @then: what it does from the second on"""
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.key("consent", always_auth=True)
        runs = token.dir / "runs"
        self.gate = token.dir / "gate"
        then = then.replace("GATE", str(self.gate))
        command = f"echo run >> {runs}; [ $(wc -l < {runs}) = 1 ] || {then}; echo {token.pin}"
        return token, self.serve(token, workers=1, pin=f"command:{command}"), runs

    def test_slow_one_holds_up_no_other_key(self):
        token, agent, runs = self.serve_source(self.UNTIL_GATE)
        waiting = self.start_waiting(agent, token, 6)
        with agent.connect() as client:
            for _ in range(3):
                self.assert_signs(client, token.keys["plain"])
        # one at a time: the token may refuse what it gives
        self.assertEqual(len(runs.read_text().splitlines()), 1 + 1)
        self.gate.touch()
        for program in waiting:
            self.assertEqual(program.communicate(timeout=30)[0], "signed\n")
        self.assertEqual(len(runs.read_text().splitlines()), 1 + 6)

    def start_waiting(self, agent, token, count):
        waiting = [self.start_signing(agent, token.keys["consent"]) for _ in range(count)]
        poll_until(lambda: agent.status().queued == count, what="all wait")
        return waiting

    def test_programs_that_leave_make_room(self):
        token, agent, _ = self.serve_source(self.UNTIL_GATE)
        for program in self.start_waiting(agent, token, 5):
            program.kill()
        poll_until(lambda: agent.status().queued == 0, what="nobody waits")
        last = self.start_signing(agent, token.keys["consent"])
        self.gate.touch()
        self.assertEqual(last.communicate(timeout=30)[0], "signed\n")

    def test_refused_pin_is_tried_once(self):
        """However many wait for it, and however many processes could try it."""
        token = self.faulty_token(keys={"plain": "EC:prime256v1"})
        token.rules("hardware", "pin-tries 9")
        token.key("consent", always_auth=True)
        agent = self.serve(token, workers=3)
        agent.wait_for(lambda s: s.modules[0].workers == 3)
        token.set_pin_file("999999")
        logins = token.calls("C_Login")
        programs = [self.start_signing(agent, token.keys["consent"]) for _ in range(6)]
        for program in programs:
            self.assertRegex(program.communicate(timeout=30)[0], "^PIN .*refused")
        self.assertEqual(token.calls("C_Login") - logins, 1)
        self.assertEqual(token.tries_left(), 8)

    def test_person_who_goes_away(self):
        """What is forgotten then is what people gave."""
        token, agent, _ = self.serve_source(self.UNTIL_GATE)
        (program,) = self.start_waiting(agent, token, 1)
        agent.process.send_signal(signal.SIGUSR1)
        agent.wait_for_log("SIGUSR1 was sent")
        self.gate.touch()
        self.assertEqual(program.communicate(timeout=30)[0], "signed\n")

    def test_reload_that_wants_another_module(self):
        """The one that leaves finishes what it has."""
        token, agent, _ = self.serve_source(self.UNTIL_GATE)
        (program,) = self.start_waiting(agent, token, 1)
        agent.reload(agent.config_file.read_text().replace("[module faulty]", "[module other]"))
        self.gate.touch()
        self.assertEqual(program.communicate(timeout=30)[0], "signed\n")

    def test_reload_that_takes_the_source_away(self):
        """Those for whom it was not asked yet are told what follows from that."""
        token, agent, _ = self.serve_source(self.UNTIL_GATE)
        waiting = self.start_waiting(agent, token, 3)
        text = agent.config_file.read_text()
        source = next(line for line in text.splitlines() if line.startswith("pin = command:"))
        agent.reload(text.replace(source, "pin = ask"))  # and pinentry = none
        self.gate.touch()
        ends = sorted(program.communicate(timeout=30)[0].split()[0] for program in waiting)
        self.assertEqual(ends, ["LOCKED", "LOCKED", "signed"])

    def test_one_that_fails_is_told(self):
        token, agent, _ = self.serve_source("exit 3")
        with agent.connect() as client:
            refused = self.assert_refused(
                Code.PIN, client.sign, token.keys["consent"].hash, wire.ECDSA_SHA256, Kind.TLS13,
                tls_messages.certificate_verify())
            self.assertIn("3", refused.text)
            self.assert_signs(client, token.keys["plain"])

    def test_stop_lets_it_finish(self):
        token, agent, _ = self.serve_source("sleep 1")
        program = self.start_signing(agent, token.keys["consent"])
        poll_until(lambda: agent.status().queued == 1, what="it waits")
        agent.stop()
        self.assertEqual(program.communicate(timeout=30)[0], "signed\n")

    def test_stop_waits_for_nobody_long(self):
        token, agent, _ = self.serve_source("sleep 60")
        program = self.start_signing(agent, token.keys["consent"])
        poll_until(lambda: agent.status().queued == 1, what="it waits")
        agent.stop()
        self.assertIn("ending", program.communicate(timeout=30)[0])


if __name__ == "__main__":
    main()
