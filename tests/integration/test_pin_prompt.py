# SPDX-License-Identifier: Apache-2.0
"""`pin = ask`: a person is asked with a pinentry, once for all who wait, and never more than needed."""

import os
import pty
import re
import signal
import subprocess
import time
import unittest

import harness
import wire
from fake_pinentry import Pinentry
from faults import FaultyToken, main
from harness import MTLS_BIN, OTHER_UID, needs_root, poll_until
from prompts import DISPLAY, PromptTest, is_gone
from wire import TokenState


class TestDialog(PromptTest):
    def test_right_pin(self):
        token, agent = self.locked()
        code, said = self.ask(agent, f"pin {token.pin}")
        self.assertEqual(code, 0, said)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)

    def test_it_names_token_and_program(self):
        token, agent = self.locked()
        self.ask(agent, "cancel")
        (dialog,) = self.pinentry.dialogs
        self.assertIn('"demo"', dialog["SETDESC"])
        self.assertIn(token.serial, dialog["SETDESC"])
        self.assertIn(f"Program: {MTLS_BIN}", dialog["SETDESC"])
        self.assertEqual(dialog["SETPROMPT"], "PIN:")
        self.assertLessEqual(int(dialog["SETTIMEOUT"]), 60)

    def test_names_are_escaped(self):
        token = self.faulty_token(label="de\x1b[2Jmo\u202e%0A")
        _, agent = self.locked(token)
        self.ask(agent, "cancel", args=[token.serial])
        (dialog,) = self.pinentry.dialogs
        self.assertIn("de\\x1b[2Jmo\\u{202e}%0A", dialog["SETDESC"])
        self.assertNotIn("\x1b", dialog["SETDESC"])

    def test_pin_is_taken_as_it_is_typed(self):
        pin = "Zürich %41 日本"
        token = self.faulty_token(pin=pin)
        _, agent = self.locked(token)
        code, said = self.ask(agent, f"pin {pin}")
        self.assertEqual(code, 0, said)

    def test_what_can_be_no_pin_is_asked_again_without_a_login(self):
        token, agent = self.locked()
        code, said = self.ask(agent, "empty", "long", f"pin {token.pin}")
        self.assertEqual(code, 0, said)
        self.assertEqual(token.calls("C_Login"), 1)
        errors = [d.get("SETERROR", "") for d in self.pinentry.dialogs]
        self.assertEqual(errors, ["", "the PIN is empty", "the PIN is longer than 255 bytes"])

    def test_no_trace_is_left(self):
        """No process, and the PIN not even in ask-pin, which has ended."""
        token, agent = self.locked()
        self.ask(agent, f"pin {token.pin}")
        self.wait_keepers(agent, 0)
        poll_until(lambda: not self.pinentry.running, what="the pinentry ended")
        self.assertNotIn(token.pin, agent.log())


class TestWhere(PromptTest):
    """The display and the terminal are those of the program that waits."""

    def dialog(self, **kwargs):
        _, agent = self.locked()
        self.ask(agent, "cancel", **kwargs)
        return self.pinentry.dialogs[0]

    def test_display_of_the_client(self):
        env = {"DISPLAY": ":5", "WAYLAND_DISPLAY": "wayland-9", "XAUTHORITY": "/tmp/cookie",
               "DBUS_SESSION_BUS_ADDRESS": "unix:path=/tmp/bus", "LC_ALL": "de_DE.UTF-8"}
        dialog = self.dialog(env=env)
        self.assertEqual({**dialog["env"], **env}, dialog["env"])
        self.assertEqual(dialog["options"]["lc-ctype"], "de_DE.UTF-8")
        self.assertEqual(dialog["options"]["lc-messages"], "de_DE.UTF-8")

    def test_nothing_else_of_its_environment(self):
        dialog = self.dialog(env={**DISPLAY, "LD_PRELOAD": "", "SECRET_OF_THE_CLIENT": "1"})
        self.assertNotIn("SECRET_OF_THE_CLIENT", dialog["env"])
        self.assertNotIn("LD_PRELOAD", dialog["env"])

    def test_terminal_from_its_descriptors(self):
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        self.addCleanup(os.close, terminal)
        dialog = self.dialog(env={"TERM": "vt220"}, stdin=terminal)
        self.assertEqual(dialog["options"]["ttyname"], os.ttyname(terminal))
        self.assertEqual(dialog["options"]["ttytype"], "vt220")

    def test_terminal_from_its_environment(self):
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        self.addCleanup(os.close, terminal)
        dialog = self.dialog(env={"GPG_TTY": os.ttyname(terminal)})
        self.assertEqual(dialog["options"]["ttyname"], os.ttyname(terminal))

    def test_controlling_terminal(self):
        _, agent = self.locked()
        pid, controller = pty.fork()
        if pid == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            os.execve(MTLS_BIN, [MTLS_BIN, "unlock", "--ask"],
                      {"MTLS_AGENT_SOCK": str(agent.socket)})
        self.addCleanup(os.close, controller)
        self.wait_dialogs(1)
        os.waitpid(pid, 0)
        self.assertTrue(self.pinentry.dialogs[0]["options"]["ttyname"].startswith("/dev/"))

    def test_environment_of_the_agent_else(self):
        token = self.faulty_token()
        self.pinentry = Pinentry(token.dir / "prompts")
        agent = self.agent(f"[agent]\npinentry = {self.pinentry.program}\n" +
                           token.config(pin="ask", workers=1), env={"DISPLAY": ":31"})
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.ask(agent, "cancel", env={})
        self.assertEqual(self.pinentry.dialogs[0]["env"]["DISPLAY"], ":31")

    @needs_root
    def test_not_the_display_of_another_user(self):
        """Root could look, and its pinentry would go where that user likes."""
        _, agent = self.locked(agent_section=f"users = {OTHER_UID}\n")
        agent.run_dir.chmod(0o755)
        os.chmod(agent.socket, 0o666)
        process = self.start_asking(agent, user=OTHER_UID)
        said = process.communicate(timeout=30)[0]
        self.assertIn("nobody can be asked", said)
        self.assertEqual(self.pinentry.dialogs, [])

    def test_nobody(self):
        token, agent = self.locked()
        began = time.monotonic()
        code, said = self.ask(agent, env={})
        self.assertNotEqual(code, 0)
        self.assertIn("nobody can be asked", said)
        self.assertIn("mtls unlock", said)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.pinentry.dialogs, [])
        self.assertEqual(token.calls("C_Login"), 0)

    def test_pinentry_none(self):
        token = self.faulty_token()
        agent = self.agent("[agent]\npinentry = none\n" + token.config(pin="ask", workers=1))
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        process = self.start_asking(agent)
        said = process.communicate(timeout=30)[0]
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("mtls unlock", said)
        self.assertEqual(self.keepers(agent), [])

    def test_pinentry_that_is_not_there(self):
        token = self.faulty_token()
        agent = self.agent("[agent]\npinentry = /nonexistent/pinentry\n" +
                           token.config(pin="ask", workers=1))
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        said = self.start_asking(agent).communicate(timeout=30)[0]
        self.assertIn("/nonexistent/pinentry", said)

    def test_systemd_ask_password(self):
        """A service of the system: the question goes where systemd's agents look."""
        token = self.faulty_token()
        program = token.dir / "systemd-ask-password"
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {token.dir}/asked\necho {token.pin}\n")
        program.chmod(0o755)
        agent = self.agent(f"[agent]\npinentry = {program}\n" + token.config(pin="ask", workers=1))
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        process = self.start_asking(agent, env={})
        self.assertEqual(process.wait(30), 0, process.stdout.read())
        asked = (token.dir / "asked").read_text()
        self.assertIn('Token "demo"', asked)
        self.assertIn("--no-tty", asked)
        self.assertRegex(asked, r"--timeout=\d+")


class TestOnePrompt(PromptTest):
    def test_twenty_clients(self):
        token, agent = self.locked()
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} {token.pin}")
        clients = [self.start_asking(agent) for _ in range(20)]
        poll_until(lambda: agent.status().connections >= 20, what="all clients wait")
        self.wait_dialogs(1)
        gate.touch()
        for client in clients:
            self.assertEqual(client.wait(30), 0, client.stdout.read())
        self.assertEqual(len(self.pinentry.dialogs), 1)
        self.assertEqual(token.calls("C_Login"), 1)

    def test_mtls_unlock_closes_the_dialog(self):
        token, agent = self.locked()
        self.pinentry.answer("hang")
        client = self.start_asking(agent)
        (dialog,) = self.wait_dialogs(1)
        with agent.connect() as other:
            other.unlock(token.pin)
        self.assertEqual(client.wait(30), 0, client.stdout.read())
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")

    def test_dialog_closes_when_nobody_waits_any_more(self):
        token, agent = self.locked()
        self.pinentry.answer("hang")
        client = self.start_asking(agent)
        (dialog,) = self.wait_dialogs(1)
        client.kill()
        client.wait()
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")
        self.wait_keepers(agent, 0)
        self.assertEqual(token.calls("C_Login"), 0)

    def test_other_clients_are_served_meanwhile(self):
        token, other = self.faulty_token(), self.other_token()
        self.pinentry = Pinentry(token.dir / "prompts")
        agent = self.agent(f"[agent]\npinentry = {self.pinentry.program}\n" +
                           token.config(pin="ask", workers=1) + other.config(module="other"))
        agent.wait_keys(1)
        self.pinentry.answer("hang")
        self.start_asking(agent, args=[token.label])
        self.wait_dialogs(1)
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])

    def test_source_that_is_not_configured_any_more(self):
        """It was being asked when the configuration came to want a person asked, and that is done."""
        token = self.faulty_token()
        gate = token.dir / "gate"
        source = f"pin = command:until [ -e {gate} ]; do sleep 0.05; done; exit 1\n"
        agent = self.agent("[agent]\npinentry = /nowhere/pinentry\n" +
                           token.config(workers=1, pin=source[len("pin = "):].strip()))
        self.wait_keepers(agent, 1)
        agent.reload(agent.config_file.read_text().replace(source, "pin = ask\n"))
        client = self.start_asking(agent)
        self.assertNotEqual(client.wait(30), 0)
        self.assertIn("nobody can be asked", client.stdout.read())

    def test_stop_closes_the_dialog(self):
        _, agent = self.locked()
        self.pinentry.answer("hang")
        self.start_asking(agent)
        (dialog,) = self.wait_dialogs(1)
        agent.stop()
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")


class TestOfWhich(PromptTest):
    """Tokens that are each other's spares, or have the same label, as many cards do."""

    def two(self, *labels, same_key=False):
        tokens = [FaultyToken(label=label) for label in labels]
        for token in tokens:
            self.addCleanup(token.remove)
        for token in tokens:
            token.import_key("work", copy_of=tokens[0] if same_key and token != tokens[0] else None)
        self.pinentry = Pinentry(tokens[0].dir / "prompts")
        text = f"[agent]\npinentry = {self.pinentry.program}\n"
        for number, token in enumerate(tokens):
            config = token.config(module=f"module{number}", workers=1,
                                  pin="ask" if number == 1 else None)
            text += config.replace(f"pkcs11:token={token.label}", f"pkcs11:serial={token.serial}")
        agent = self.agent(text)
        agent.wait_for(lambda s: {(t.serial, t.state) for t in s.tokens} ==
                       {(tokens[0].serial, TokenState.READY), (tokens[1].serial, TokenState.LOCKED)},
                       what="the first is open")
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        return agent, tokens

    def take_out(self, agent, *tokens):
        for token in tokens:
            token.rules("removed")
        agent.kill_workers()
        serials = [token.serial for token in tokens]
        agent.wait_for(lambda s: not [t for t in s.tokens if t.serial in serials], what="are out")

    def start_signing(self, agent, token):
        return self.start_process(
            MTLS_BIN, "test", f"pkcs11:serial={token.serial}", text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "MTLS_AGENT_SOCK": str(agent.socket), **DISPLAY})

    def assert_signed(self, process):
        said = process.communicate(timeout=30)[0]
        self.assertEqual(process.returncode, 0, said)

    def test_spare_that_came_instead_is_asked_for(self):
        agent, tokens = self.two("first", "second", same_key=True)
        self.take_out(agent, *tokens)
        signing = self.start_signing(agent, tokens[0])
        agent.wait_for(lambda s: s.queued == 1, what="it waits for its token")
        go = tokens[0].dir / "go"
        self.pinentry.answer(f"wait {go} {tokens[1].pin}")
        tokens[1].rules()
        (dialog,) = self.wait_dialogs(1)
        self.assertIn('"second"', dialog["SETDESC"])
        time.sleep(1)  # a dialog that nobody wants is closed within this
        go.touch()
        self.assert_signed(signing)

    def test_answer_is_for_the_token_that_was_asked_for_alone(self):
        agent, tokens = self.two("demo", "demo")
        self.take_out(agent, tokens[0])
        absent = self.start_signing(agent, tokens[0])
        agent.wait_for(lambda s: s.queued == 1, what="it waits for its token")
        self.pinentry.answer("cancel")
        locked = self.start_signing(agent, tokens[1])
        self.assertIn("cancelled", locked.communicate(timeout=30)[0])
        tokens[0].rules()
        self.assert_signed(absent)


class TestRelease(PromptTest):
    """`release =` does not take a module away from under a person who is asked."""

    def test_change_of_a_pin_takes_it_back(self):
        """No token can be told now; but whoever tries again can have it."""
        _, agent = self.locked(release="1s")
        agent.wait_for(lambda s: s.modules[0].state == wire.ModuleState.RELEASED, what="released")
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.close(writer)
        with agent.connect() as client:
            self.assert_refused(wire.Code.BUSY, client.call, wire.set_pin, 1, "demo", fds=[reader])
        agent.wait_for(lambda s: s.modules[0].state == wire.ModuleState.READY, what="it is back")

    def test_dialog_outlasts_the_limit(self):
        token, agent = self.locked(release="1s")
        agent.wait_for(lambda s: s.modules[0].state == wire.ModuleState.RELEASED, what="released")
        go = token.dir / "go"
        self.pinentry.answer(f"wait {go} {token.pin}")
        asking = self.start_asking(agent)
        self.wait_dialogs(1)
        time.sleep(2)  # longer than the limit
        go.touch()
        said = asking.communicate(timeout=20)[0]
        self.assertEqual(asking.returncode, 0, said)


class TestNoAnswer(PromptTest):
    """Cancelled, closed, timed out, crashed: all who wait are told, and the screen is left alone."""

    def assert_told(self, answer, words):
        token, agent = self.locked()
        self.pinentry.answer(answer)
        clients = [self.start_asking(agent) for _ in range(3)]
        for client in clients:
            self.assertNotEqual(client.wait(30), 0)
            self.assertRegex(client.stdout.read(), words)
        # Whoever comes now gets no new dialog.
        code, said = self.ask(agent, f"pin {token.pin}")
        self.assertNotEqual(code, 0)
        self.assertRegex(said, r"a moment ago|" + words)
        self.assertEqual(len(self.pinentry.dialogs), 1)
        self.assertEqual(token.calls("C_Login"), 0)
        self.wait_keepers(agent, 0)
        return agent

    def test_cancelled(self):
        self.assert_told("cancel", "cancelled|a moment ago")

    def test_timed_out(self):
        self.assert_told("timeout", "nobody answered|a moment ago")

    def test_crashed(self):
        self.assert_told("crash", "ended without an answer|a moment ago")

    def test_pinentry_without_a_display(self):
        token, agent = self.locked()
        code, said = self.ask(agent, "nobody")
        self.assertNotEqual(code, 0)
        self.assertIn("nobody can be asked", said)

    def test_ask_pin_is_killed(self):
        _, agent = self.locked()
        self.pinentry.answer("hang")
        client = self.start_asking(agent)
        (dialog,) = self.wait_dialogs(1)
        (keeper,) = self.keepers(agent)
        os.kill(keeper, signal.SIGKILL)
        self.assertNotEqual(client.wait(30), 0)
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")

    def test_unlock_goes_on_in_the_pause(self):
        token, agent = self.locked()
        self.ask(agent, "cancel")
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])


class TestWrongPin(PromptTest):
    def test_it_is_asked_again_and_costs_one_try(self):
        token, agent = self.locked(self.counting_token())
        code, said = self.ask(agent, "pin 0000", f"pin {token.pin}")
        self.assertEqual(code, 0, said)
        first, second = self.pinentry.dialogs
        self.assertNotIn("SETERROR", first)
        self.assertIn("refused", second["SETERROR"])
        self.assertIn("Refused since the last right PIN: 1", second["SETDESC"])
        self.assertEqual(token.calls("C_Login"), 2)

    def test_last_try_is_said_in_so_many_words(self):
        token, agent = self.locked(self.counting_token(tries=2))
        self.ask(agent, "pin 0000", "cancel")
        first, second = self.pinentry.dialogs
        self.assertNotIn("LAST TRY", first["SETDESC"])
        self.assertIn("LAST TRY", second["SETDESC"])
        self.assertEqual(token.tries_left(), 1)

    def test_a_last_try_that_nobody_was_told_of_is_not_spent(self):
        """The count fell while the dialog stood."""
        token, agent = self.locked(self.counting_token())
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} 0000", "cancel")
        client = self.start_asking(agent)
        self.wait_dialogs(1)
        token.tries_left(1)
        gate.touch()
        self.assertNotEqual(client.wait(30), 0)
        self.assertEqual(token.calls("C_Login"), 0)
        self.assertEqual(token.tries_left(), 1)
        self.assertIn("LAST TRY", self.pinentry.dialogs[1]["SETDESC"])

    def test_three_in_a_row_end_it(self):
        self.TRIES = 9
        token, agent = self.locked(self.counting_token())
        code, said = self.ask(agent, *["pin 0000"] * 5)
        self.assertNotEqual(code, 0)
        self.assertIn("refused", said)
        self.assertEqual(len(self.pinentry.dialogs), 3)
        self.assertEqual(token.calls("C_Login"), 3)

    def test_ten_wait_and_all_are_told(self):
        token, agent = self.locked(self.counting_token())
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} 0000", "pin 0001", "pin 0002")
        clients = [self.start_asking(agent) for _ in range(10)]
        poll_until(lambda: agent.status().connections >= 10, what="all clients wait")
        gate.touch()
        for client in clients:
            self.assertNotEqual(client.wait(30), 0)
        self.assertEqual(token.calls("C_Login"), len(self.pinentry.dialogs))
        self.assertIn("LAST TRY", self.pinentry.dialogs[-1]["SETDESC"])

    def test_blocked_token_is_not_asked_for(self):
        token, agent = self.locked(self.counting_token(tries=1))
        self.ask(agent, "pin 0000")
        code, said = self.ask(agent, f"pin {token.pin}", args=[token.label])
        self.assertNotEqual(code, 0)
        self.assertIn("blocked", said)
        self.assertEqual(len(self.pinentry.dialogs), 1)

    def test_person_who_asks_does_not_wait_for_a_source(self):
        token, agent = self.locked()
        text = agent.config_file.read_text()
        agent.reload(text.replace("pin = ask", "pin = command:sleep 600"))
        code, said = self.ask(agent, f"pin {token.pin}")
        self.assertEqual(code, 0, said)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_worker_that_dies_before_the_login_costs_no_second_dialog(self):
        token, agent = self.locked()
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} {token.pin}")
        client = self.start_asking(agent)
        self.wait_dialogs(1)
        agent.kill_workers()
        gate.touch()
        self.assertEqual(client.wait(30), 0, client.stdout.read())
        self.assertEqual(len(self.pinentry.dialogs), 1)


@unittest.skipUnless(os.path.exists("/usr/bin/pinentry-tty"), "pinentry-tty is not installed")
class TestRealPinentry(PromptTest):
    def test_on_a_terminal(self):
        token = self.faulty_token()
        agent = self.agent("[agent]\npinentry = /usr/bin/pinentry-tty\n" +
                           token.config(pin="ask", workers=1))
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        client = self.start_asking(agent, env={"TERM": "xterm"}, stdin=terminal)
        os.close(terminal)
        shown = b""
        while not re.search(rb"PIN:\s*$", shown):
            shown += self.read(controller, shown)
        self.assertIn(b'Token "demo"', shown)
        os.write(controller, token.pin.encode() + b"\n")
        self.assertEqual(client.wait(30), 0, client.stdout.read())
        self.assertNotIn(token.pin.encode(), shown)

    def read(self, fd, so_far):
        ready = harness.select.select([fd], [], [], wire.DEADLINE)[0]
        self.assertTrue(ready, so_far)
        return os.read(fd, 4096)


if __name__ == "__main__":
    main()
