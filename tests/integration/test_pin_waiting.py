# SPDX-License-Identifier: Apache-2.0
"""Programs that sign with a locked token: they wait, a person is asked once, and all get their answer."""

import os
import signal

import wire
from faults import main
from harness import poll_until
from prompts import is_gone
from test_pin_context import ContextTest
from wire import TokenState


class WaitingTest(ContextTest):
    def start_programs(self, agent, key, count):
        programs = [self.start_signing(agent, key) for _ in range(count)]
        poll_until(lambda: agent.status().connections >= count, what="all programs wait")
        return programs

    def outcomes(self, programs):
        return [program.communicate(timeout=60)[0].strip() for program in programs]


class TestLocked(WaitingTest):
    def test_one_program(self):
        token, agent = self.locked()
        self.assertEqual(self.sign(agent, token.keys["work"], f"pin {token.pin}"), "signed")
        (dialog,) = self.pinentry.dialogs
        self.assertIn("Key: work", dialog["SETDESC"])
        self.assertEqual(dialog["env"]["DISPLAY"], ":77")

    def test_twenty_programs_one_dialog(self):
        token, agent = self.locked()
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} {token.pin}")
        programs = self.start_programs(agent, token.keys["work"], 20)
        self.wait_dialogs(1)
        gate.touch()
        self.assertEqual(self.outcomes(programs), ["signed"] * 20)
        self.assertEqual(len(self.pinentry.dialogs), 1)
        self.assertEqual(token.calls("C_Login"), 1)

    def test_token_that_is_pulled_under_the_dialog(self):
        """Programs wait on: for the token, and then for the person again."""
        token, agent = self.locked()
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        self.pinentry.answer("hang", f"pin {token.pin}")
        programs = self.start_programs(agent, token.keys["work"], 2)
        self.wait_dialogs(1)
        token.rules("removed demo")
        agent.kill_workers()
        poll_until(lambda: "put it in" in watcher.event().text, what="the token is waited for")
        token.rules()
        self.assertEqual(self.outcomes(programs), ["signed"] * 2)
        self.assertEqual(len(self.pinentry.dialogs), 2)

    def test_cancelled_all_are_told(self):
        token, agent = self.locked()
        gate = token.dir / "gate"
        self.pinentry.answer("hang")
        programs = self.start_programs(agent, token.keys["work"], 5)
        (dialog,) = self.wait_dialogs(1)
        os.kill(dialog["pid"], signal.SIGKILL)
        for said in self.outcomes(programs):
            self.assertRegex(said, "^PIN ")
        self.assertFalse(gate.exists())
        self.assertRegex(self.sign(agent, token.keys["work"], f"pin {token.pin}"), "^PIN .*moment")
        self.assertEqual(len(self.pinentry.dialogs), 1)

    def test_wrong_pins_with_ten_waiting(self):
        token, agent = self.locked(self.counting_token())
        gate = token.dir / "gate"
        self.pinentry.answer(f"wait {gate} 0000", "pin 0001", "cancel")
        programs = self.start_programs(agent, token.keys["work"], 10)
        gate.touch()
        for said in self.outcomes(programs):
            self.assertRegex(said, "^PIN ")
        self.assertEqual(token.calls("C_Login"), 2)
        self.assertEqual(token.tries_left(), 1)
        self.assertIn("LAST TRY", self.pinentry.dialogs[-1]["SETDESC"])

    def test_programs_that_all_leave_close_the_dialog(self):
        token, agent = self.locked()
        self.pinentry.answer("hang")
        programs = self.start_programs(agent, token.keys["work"], 3)
        (dialog,) = self.wait_dialogs(1)
        programs[0].kill()
        programs[1].kill()
        self.assertFalse(is_gone(dialog["pid"]))
        programs[2].kill()
        poll_until(lambda: is_gone(dialog["pid"]), what="the dialog closed")
        self.assertEqual(token.calls("C_Login"), 0)

    def test_mtls_unlock_serves_those_that_wait(self):
        token, agent = self.locked()
        self.pinentry.answer("hang")
        programs = self.start_programs(agent, token.keys["work"], 3)
        self.wait_dialogs(1)
        with agent.connect() as client:
            client.unlock(token.pin)
        self.assertEqual(self.outcomes(programs), ["signed"] * 3)

    def test_kept_pin_that_is_refused_has_a_person_asked(self):
        token, agent = self.locked(token_options="pin-cache = 1h\n")
        with agent.connect() as client:
            client.unlock(token.pin)
        token.rules("C_Login rv a0 1")
        agent.kill_workers()
        self.wait_keepers(agent, 0)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        self.assertEqual(self.sign(agent, token.keys["work"], f"pin {token.pin}"), "signed")
        self.assertEqual(len(self.pinentry.dialogs), 1)


if __name__ == "__main__":
    main()
