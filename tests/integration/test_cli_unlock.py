# SPDX-License-Identifier: Apache-2.0
"""`mtls unlock`: the PIN from a terminal or from stdin, tried once, and the terminal put back."""

import os
import signal
import subprocess
import unittest
from pathlib import Path

import wire
from cli_harness import (DEADLINE, FAILURE, FAKE_PIN, LOCKED, NO_KEY, OK, CliTest, ScriptToken)
from harness import poll_until

WAITING = wire.TokenState.LOCKED


class TestUnlockAtTerminal(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.key("work")

    def at_prompt(self, *args, prompt="PIN of token fake (serial 0001): "):
        terminal = self.terminal("unlock", *args)
        terminal.wait_for(prompt)
        self.assertFalse(terminal.echoes())
        return terminal

    def test_right_pin(self):
        agent = self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        terminal.type(FAKE_PIN + "\n")
        self.assertEqual(terminal.wait(), OK)
        self.assertIn("token fake is unlocked", terminal.text)
        self.assertNotIn(FAKE_PIN, terminal.text)
        self.assertTrue(terminal.is_restored())
        self.assertIn("unlock right", agent.log())

    def test_wrong_pin_is_tried_once(self):
        agent = self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt("fake")
        terminal.type("9999\n")
        self.assertEqual(terminal.wait(), LOCKED)
        self.assertIn("2 tries are left", terminal.text)
        self.assertTrue(terminal.is_restored())
        self.assertEqual(agent.log().count("unlock"), 1)

    def test_empty_pin_is_not_sent(self):
        agent = self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        terminal.type("\n")
        self.assertEqual(terminal.wait(), LOCKED)
        self.assertIn("the PIN is empty, nothing was sent to the token", terminal.text)
        self.assertNotIn("unlock", agent.log())

    def test_end_of_input_is_not_sent(self):
        agent = self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), LOCKED)
        self.assertNotIn("unlock", agent.log())

    def test_a_pin_that_is_too_long_is_not_sent(self):
        agent = self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        terminal.type("1" * 300 + "\n")
        self.assertEqual(terminal.wait(), LOCKED)
        self.assertNotIn("unlock", agent.log())

    def test_signals_put_the_terminal_back(self):
        agent = self.fake_agent("work", args=["--locked"])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                terminal = self.at_prompt()
                os.kill(terminal.pid, number)
                self.assertEqual(terminal.wait(), -number)
                self.assertTrue(terminal.is_restored())
        self.assertNotIn("unlock", agent.log())

    def test_ctrl_c_puts_the_terminal_back(self):
        self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        terminal.type("12\x03")
        self.assertEqual(terminal.wait(), -signal.SIGINT)
        self.assertTrue(terminal.is_restored())

    def test_a_stop_puts_the_terminal_back_and_asks_again(self):
        self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        terminal.type("99\x1a")  # Ctrl-Z
        poll_until(lambda: terminal.state() == "T", what="stopped")
        self.assertTrue(terminal.is_restored())
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.wait_for("PIN of token", count=2)
        self.assertFalse(terminal.echoes())
        terminal.type(FAKE_PIN + "\n")
        self.assertEqual(terminal.wait(), OK, terminal.text)
        self.assertTrue(terminal.is_restored())

    def test_no_terminal(self):
        self.fake_agent("work", args=["--locked"])
        self.assertIn("--stdin", self.fail_with(FAILURE, "unlock", start_new_session=True))

    def test_a_pin_in_stdin_is_not_read_unasked(self):
        agent = self.fake_agent("work", args=["--locked"])
        self.fail_with(FAILURE, "unlock", start_new_session=True, input=FAKE_PIN + "\n")
        self.assertNotIn("unlock", agent.log())

    def test_the_process_cannot_be_read_while_it_has_the_pin(self):
        self.fake_agent("work", args=["--locked"])
        terminal = self.at_prompt()
        status = Path(f"/proc/{terminal.pid}/status").read_text()
        self.assertIn("NoNewPrivs:\t1", status)
        limits = Path(f"/proc/{terminal.pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size +0 +0 ")

    def test_a_hostile_label_does_not_reach_the_terminal(self):
        self.scripted_agent(tokens=[ScriptToken("\x1b[2Jevil", "\n", WAITING)])
        terminal = self.at_prompt(prompt="PIN of token \\x1b[2Jevil (serial \\x0a): ")
        self.assertNotIn("\x1b", terminal.text)


class TestUnlockFromStdin(CliTest):
    def unlock(self, pin, *args):
        done = self.mtls("unlock", "--stdin", *args, input=pin)
        return done.returncode, done.stderr

    def test_the_only_waiting_token(self):
        agent = self.scripted_agent(tokens=[ScriptToken("ready", "1"),
                                            ScriptToken("card", "2", WAITING)])
        self.assertEqual(self.unlock(FAKE_PIN + "\n"), (OK, "mtls: token card is unlocked\n"))
        self.assertEqual((agent.selectors, agent.pins), (["card"], [FAKE_PIN]))

    def test_without_line_end(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "2", WAITING)])
        self.assertEqual(self.unlock(FAKE_PIN)[0], OK)
        self.assertEqual(agent.pins, [FAKE_PIN])

    def test_only_the_first_line(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "2", WAITING)])
        self.assertEqual(self.unlock(FAKE_PIN + "\nmore\n")[0], OK)
        self.assertEqual(agent.pins, [FAKE_PIN])

    def test_several_waiting_tokens_are_listed(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1", WAITING),
                                            ScriptToken("hsm", "2", wire.TokenState.PIN_BAD)])
        text = self.fail_with(NO_KEY, "unlock", "--stdin", input=FAKE_PIN)
        self.assertIn("Name one: card, hsm", text)
        self.assertEqual(agent.pins, [])
        self.assertEqual(self.unlock(FAKE_PIN, "hsm")[0], OK)
        self.assertEqual(agent.selectors, ["hsm"])

    def test_tokens_of_one_label_are_told_apart_by_serial(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "11", WAITING),
                                            ScriptToken("card", "22", WAITING)])
        self.assertIn("by its serial", self.fail_with(NO_KEY, "unlock", "card", "--stdin",
                                                      input=FAKE_PIN))
        self.assertEqual(self.unlock(FAKE_PIN, "22")[0], OK)
        self.assertEqual(agent.selectors, ["22"])

    def test_an_unknown_token(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1", WAITING)])
        self.fail_with(NO_KEY, "unlock", "nope", "--stdin", input=FAKE_PIN)
        self.assertEqual(agent.pins, [])

    def test_nothing_waits(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1")])
        self.assertEqual(self.unlock(FAKE_PIN), (OK, "mtls: no token waits for a PIN\n"))
        self.assertEqual(self.unlock(FAKE_PIN, "card"),
                         (OK, "mtls: token card is unlocked already\n"))
        self.assertEqual(agent.pins, [])

    def test_a_blocked_pin_is_tried_only_when_its_token_is_named(self):
        """The agent does not hear of it when somebody unblocks the PIN."""
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1", wire.TokenState.PIN_BLOCKED)])
        code, text = self.unlock(FAKE_PIN)
        self.assertEqual(code, LOCKED)
        self.assertIn("blocked", text)
        self.assertEqual(agent.pins, [])
        code, text = self.unlock(FAKE_PIN, "card")
        self.assertEqual(code, OK)
        self.assertIn("PUK", text)
        self.assertEqual(agent.pins, [FAKE_PIN])

    def test_two_ways_at_once(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1", WAITING)])
        code, text = self.unlock(FAKE_PIN, "--ask")
        self.assertEqual(code, 2)
        self.assertIn("exclude", text)
        self.assertEqual(agent.pins, [])

    def test_a_wrong_pin_is_tried_once(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1", WAITING)])
        self.assertEqual(self.unlock("9\n"),
                         (LOCKED, "mtls: The PIN is wrong; 2 tries are left.\n"))
        self.assertEqual(agent.pins, ["9"])

    def test_what_is_no_pin_is_not_sent(self):
        agent = self.scripted_agent(tokens=[ScriptToken("card", "1", WAITING)])
        for pin in ("", "\n", "\r\n", "x" * 256 + "\n", "a\0b\n"):
            with self.subTest(pin=pin):
                code, text = self.unlock(pin)
                self.assertEqual(code, LOCKED)
                self.assertIn("nothing was sent", text)
        self.assertEqual(agent.pins, [])

    def test_the_pin_is_in_no_argument_and_no_variable(self):
        self.scripted_agent(tokens=[ScriptToken("card", "1", WAITING)])
        process = self.start("unlock", "--stdin", stdin=subprocess.PIPE)
        process.stdin.write(FAKE_PIN)
        process.stdin.flush()
        for name in ("cmdline", "environ"):
            try:
                self.assertNotIn(FAKE_PIN, Path(f"/proc/{process.pid}/{name}").read_text())
            except PermissionError:
                pass  # not even we may look
        process.communicate("\n", timeout=DEADLINE)
        self.assertEqual(process.returncode, OK)


if __name__ == "__main__":
    unittest.main(verbosity=2)
