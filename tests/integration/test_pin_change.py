# SPDX-License-Identifier: Apache-2.0
"""`mtls pin change` and `mtls pin unblock`, from the terminal to the token."""

import os
import subprocess

import wire
from faults import main
from harness import Code, MTLS_BIN, OTHER_UID, needs_root, poll_until
from prompts import PromptTest
from wire import TokenState

NEW = "54321"
UNSUPPORTED = "54"  # CKR_FUNCTION_NOT_SUPPORTED


class ChangeTest(PromptTest):
    def mtls(self, agent, *args, given=(), **kwargs):
        return subprocess.run([MTLS_BIN, "pin", *args], text=True, timeout=30, check=False,
                              capture_output=True, input="".join(line + "\n" for line in given),
                              env={**os.environ, "MTLS_AGENT_SOCK": str(agent.socket)}, **kwargs)

    def change(self, agent, old, new, *args):
        return self.mtls(agent, "change", "--stdin", *args, given=(old, new))

    def unblock(self, agent, puk, new, *args):
        return self.mtls(agent, "unblock", "--stdin", *args, given=(puk, new))

    def assert_pin(self, agent, token, pin):
        """This is the token's PIN now."""
        with agent.connect() as client:
            client.lock()
            client.unlock(pin)
            self.assert_signs(client, token.keys["work"])


class TestChange(ChangeTest):
    def test_locked_token(self):
        token, agent = self.locked()
        done = self.change(agent, token.pin, NEW)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("demo", done.stderr)
        self.assert_pin(agent, token, NEW)
        with agent.connect() as client:
            client.lock()
            self.assert_refused(Code.PIN, client.unlock, token.pin)

    def test_unlocked_token_goes_on(self):
        token, agent = self.locked()
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assertEqual(self.change(agent, token.pin, NEW).returncode, 0)
            self.assert_signs(client, token.keys["work"])
        self.assert_pin(agent, token, NEW)

    def test_token_with_room_for_one_session(self):
        """The one that objects are read in makes room; the login goes with it."""
        for options in ({}, {"max_sessions": 1}):
            with self.subTest(options):
                token = self.faulty_token()
                token.rules("max-sessions 1")
                agent = self.serve(token, pin="ask", ready=False, workers=1, **options)
                self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
                with agent.connect() as client:
                    client.unlock(token.pin)
                done = self.change(agent, token.pin, NEW)
                self.assertEqual(done.returncode, 0, done.stderr)
                poll_until(lambda: self.signs_with(agent, token, NEW), what="a signature")
                agent.stop()

    def signs_with(self, agent, token, pin):
        with agent.connect() as client:
            try:
                self.assert_signs(client, token.keys["work"])
                return True
            except wire.Refused as refused:
                self.assertIn(refused.code, (Code.LOCKED, Code.INTERNAL))
            try:
                client.unlock(pin)
            except wire.Refused as refused:
                self.assertNotEqual(refused.code, Code.PIN)
        return False

    def test_by_serial_and_uri(self):
        token, agent = self.locked()
        self.assertEqual(self.change(agent, token.pin, NEW, token.serial).returncode, 0)
        self.assertEqual(self.change(agent, NEW, token.pin, "pkcs11:token=demo").returncode, 0)
        self.assert_pin(agent, token, token.pin)

    def test_module_that_wants_a_login_first(self):
        """It answers CKR_USER_NOT_LOGGED_IN, and has tried nothing."""
        token, agent = self.locked()
        token.rules("C_SetPIN rv 101 1")
        done = self.change(agent, token.pin, NEW)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(token.calls("C_Login"), 1)
        self.assert_pin(agent, token, NEW)

    def test_wrong_old_pin_is_tried_once(self):
        token, agent = self.locked()
        done = self.change(agent, "0000", NEW)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("refused", done.stderr)
        self.assertEqual(token.calls("C_SetPIN") + token.calls("C_Login"), 1)
        self.assert_pin(agent, token, token.pin)

    def test_new_pin_that_is_too_short_or_long_is_not_shown_to_the_token(self):
        token, agent = self.locked()
        for pin, words in (("1", "1 bytes, and the token takes from 4 to 255"),
                           ("1" * 256, "longer than 255 bytes")):
            with self.subTest(len(pin)):
                done = self.change(agent, token.pin, pin)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)
        self.assertEqual(token.calls("C_SetPIN"), 0)

    def test_empty_lines(self):
        token, agent = self.locked()
        for old, new in (("", NEW), (token.pin, "")):
            done = self.change(agent, old, new)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("empty", done.stderr)
        self.assertEqual(token.calls("C_SetPIN"), 0)

    def test_module_that_cannot_names_a_tool(self):
        token, agent = self.locked()
        token.rules(f"C_SetPIN rv {UNSUPPORTED}")
        done = self.change(agent, token.pin, NEW)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("pkcs11-tool --change-pin", done.stderr)

    def test_not_while_a_source_is_asked_for_the_old_one(self):
        """For a second worker: it would try what is wrong then."""
        token = self.counting_token()
        gate, runs = token.dir / "gate", token.dir / "runs"
        agent = self.serve(token, workers=2, pin=(
            f"command:echo >> {runs}; [ $(wc -l < {runs}) = 1 ] || until [ -e {gate} ]; do "
            f"sleep 0.05; done; echo {token.pin}"))
        poll_until(lambda: runs.read_text() == "\n\n", what="it is asked")
        done = self.change(agent, token.pin, NEW)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("busy with a login", done.stderr)
        gate.touch()
        poll_until(lambda: token.calls("C_Login") == 2, what="both are logged in")
        self.wait_keepers(agent, 0)
        self.assertEqual(self.change(agent, token.pin, NEW).returncode, 0)
        self.assertEqual(token.tries_left(), self.TRIES)

    def test_kept_pin_is_forgotten(self):
        token, agent = self.locked(token_options="pin-cache = 8h\n")
        with agent.connect() as client:
            client.unlock(token.pin)
        self.assertEqual(len(self.keepers(agent)), 1)
        self.change(agent, token.pin, NEW)
        self.wait_keepers(agent, 0)

    def test_source_with_the_old_pin_is_not_tried(self):
        token = self.counting_token()
        agent = self.serve(token, workers=1)
        agent.wait_keys()
        self.assertEqual(self.change(agent, token.pin, NEW).returncode, 0)
        logins = token.calls("C_Login")
        agent.kill_workers()
        status = self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.assertIn("was changed", status.text)
        self.assertEqual(token.calls("C_Login"), logins)

    def test_worker_that_dies_is_answered(self):
        token, agent = self.locked()
        token.rules("C_SetPIN crash")
        done = self.change(agent, token.pin, NEW)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("mtls unlock", done.stderr)
        token.rules()
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assert_pin(agent, token, token.pin)

    def test_pins_are_in_no_log(self):
        token, agent = self.locked()
        self.change(agent, token.pin, "Qx9-new-pin")
        self.change(agent, "wrong-pin-7", "Qx9-new-pin")
        self.assertNotIn("Qx9-new-pin", agent.log())
        self.assertNotIn("wrong-pin-7", agent.log())


class TestUnblock(ChangeTest):
    def test_blocked_token(self):
        token, agent = self.locked(self.counting_token(tries=1))
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, "0000")
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BLOCKED)
        done = self.change(agent, token.pin, NEW)
        self.assertIn("mtls pin unblock", done.stderr)
        done = self.unblock(agent, token.so_pin, NEW)
        self.assertEqual(done.returncode, 0, done.stderr)
        token.tries_left(self.TRIES)  # the counter is the fault module's own
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assert_pin(agent, token, NEW)

    def test_unlocked_token(self):
        token, agent = self.locked()
        with agent.connect() as client:
            client.unlock(token.pin)
        done = self.unblock(agent, token.so_pin, NEW)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assert_pin(agent, token, NEW)

    def test_wrong_puk_is_tried_once(self):
        token, agent = self.locked()
        done = self.unblock(agent, "00000000", NEW)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("PUK was refused", done.stderr)
        self.assertEqual(token.calls("C_Login"), 1)
        self.assertEqual(token.calls("C_InitPIN"), 0)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assert_pin(agent, token, token.pin)

    def test_module_that_cannot_names_a_tool(self):
        token, agent = self.locked()
        token.rules(f"C_InitPIN rv {UNSUPPORTED}")
        done = self.unblock(agent, token.so_pin, NEW)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("; use ", done.stderr)


class TestTerminal(ChangeTest):
    def test_change(self):
        token, agent = self.locked()
        code, shown = self.mtls_on_terminal(agent, "pin", "change", typed=[token.pin, NEW, NEW])
        self.assertEqual(code, 0, shown)
        self.assertIn("Old PIN of token demo", shown)
        for pin in (token.pin, NEW):
            self.assertNotIn(pin, shown.replace(token.serial, ""))
        self.assert_pin(agent, token, NEW)

    def test_new_pins_that_differ(self):
        token, agent = self.locked()
        code, shown = self.mtls_on_terminal(agent, "pin", "change", typed=[token.pin, NEW, NEW + "1"])
        self.assertNotEqual(code, 0)
        self.assertIn("differ", shown)
        self.assertEqual(token.calls("C_SetPIN"), 0)


class TestRequest(ChangeTest):
    def set_pin(self, client, *lines, change=1, selector="demo"):
        reader, writer = os.pipe()
        os.write(writer, "".join(line + "\n" for line in lines).encode())
        os.close(writer)
        try:
            return client.call(wire.set_pin, change, selector, fds=[reader])
        finally:
            os.close(reader)

    def test_without_a_pipe(self):
        _, agent = self.locked()
        with agent.connect() as client:
            self.assert_refused(Code.PROTO, client.call, wire.set_pin, 1, "demo")

    def test_unknown_change_closes(self):
        _, agent = self.locked()
        with agent.connect() as client:
            with self.assertRaises((wire.Refused, wire.Closed)):
                self.set_pin(client, "1", "2", change=3)

    def test_unknown_token(self):
        _, agent = self.locked()
        with agent.connect() as client:
            self.assert_refused(Code.NO_KEY, self.set_pin, client, "1", "2", selector="nosuch")

    def test_client_that_leaves(self):
        token, agent = self.locked()
        token.rules("C_SetPIN delay 500")
        reader, writer = os.pipe()
        os.write(writer, f"{token.pin}\n{NEW}\n".encode())
        os.close(writer)
        with agent.connect() as client:
            client.send(wire.set_pin(client.next_id(), 1, "demo"), [reader])
            token.wait_calls("C_SetPIN")
        os.close(reader)
        token.rules()
        self.assert_serves(agent)
        poll_until(lambda: "its PIN was changed" in agent.log(), what="the change goes on")
        self.assert_pin(agent, token, NEW)

    @needs_root
    def test_other_users_may_not(self):
        token = self.faulty_token()
        agent = self.agent(f"[agent]\nusers = {OTHER_UID}\npinentry = none\n" +
                           token.config(pin="ask", workers=1))
        agent.run_dir.chmod(0o755)
        os.chmod(agent.socket, 0o666)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        os.seteuid(OTHER_UID)
        try:
            client = self.connect(agent)
        finally:
            os.seteuid(0)
        self.assert_refused(Code.POLICY, self.set_pin, client, token.pin, NEW)
        self.assertEqual(token.calls("C_SetPIN"), 0)


if __name__ == "__main__":
    main()
