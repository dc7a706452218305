# SPDX-License-Identifier: Apache-2.0
"""The ledger: what an agent that is started anew remembers of PINs that were refused."""

import os

from faults import main
from harness import Code, poll_until
from prompts import PromptTest
from wire import TokenState

WRONG = "9876543"


class LedgerTest(PromptTest):
    def ledger(self, agent):
        return agent.dir / ".local/state/mtls-agent/pin-ledger"

    def lines(self, agent):
        file = self.ledger(agent)
        return file.read_text().splitlines() if file.exists() else []

    def wait_lines(self, agent, count):
        poll_until(lambda: len(self.lines(agent)) == count,
                   what=lambda: f"{count} lines, there are {self.lines(agent)}\n{agent.log()}")
        return self.lines(agent)

    def wait_refused(self, agent, count):
        """The one line says so, and not that a try is under way."""
        poll_until(lambda: any(f" refused={count} " in line for line in self.lines(agent)),
                   what=lambda: f"{count} refused, there are {self.lines(agent)}\n{agent.log()}")
        (line,) = self.lines(agent)
        return line

    def refused(self, pin=None, **kwargs):
        """An agent whose source gave a wrong PIN."""
        token = self.counting_token()
        token.set_pin_file(WRONG)
        agent = self.serve(token, ready=False, workers=1, pin=pin or f"file:{token.pin_file}",
                           **kwargs)
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        return token, agent

    def restart(self, agent, state=TokenState.PIN_BAD):
        agent.stop()
        agent.start()
        return self.wait_token(agent, lambda t: t.state == state)


class TestRestart(LedgerTest):
    def test_refused_source_is_not_asked_again(self):
        token, agent = self.refused()
        for _ in range(3):
            status = self.restart(agent)
            self.assertIn("refused", status.text)
        self.assertEqual(token.calls("C_Login"), 1)
        self.assertEqual(token.tries_left(), self.TRIES - 1)

    def test_command_that_was_refused_is_not_run_again(self):
        token = self.counting_token()
        runs = token.dir / "runs"
        agent = self.serve(token, ready=False, workers=1, pin=f"command:echo >> {runs}; echo {WRONG}")
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.restart(agent)
        self.assertEqual(runs.read_text(), "\n")
        self.assertEqual(token.calls("C_Login"), 1)

    def test_file_that_was_corrected_is_asked(self):
        token, agent = self.refused()
        token.set_pin_file(token.pin)
        token.tries_left(self.TRIES)
        self.restart(agent, TokenState.READY)
        self.wait_lines(agent, 0)

    def test_other_source_is_asked(self):
        token, agent = self.refused()
        token.tries_left(self.TRIES)
        agent.configure(agent.config_file.read_text().replace(f"file:{token.pin_file}",
                                                              f"command:echo {token.pin}"))
        self.restart(agent, TokenState.READY)

    def test_pin_that_was_taken_before_the_card_went_is_not_refused(self):
        """Nothing can be read after the login; the fresh worker has the PIN again."""
        token = self.counting_token()
        gate = token.dir / "gate"
        agent = self.serve(token, ready=False, workers=1,
                           pin=f"command:until [ -e {gate} ]; do sleep 0.05; done; echo {token.pin}")
        self.wait_keepers(agent, 1)
        token.rules(f"pin-tries {self.TRIES}", "C_FindObjectsInit rv 32 1")
        gate.touch()
        self.wait_token(agent, lambda t: t.state == TokenState.READY)
        self.assertEqual(token.calls("C_Login"), 2)
        self.wait_lines(agent, 0)
        agent.stop()

    def test_reload_asks_once_more(self):
        token, agent = self.refused()
        self.restart(agent)
        token.tries_left(self.TRIES)
        agent.reload()
        poll_until(lambda: token.calls("C_Login") == 2, what="the source is asked")
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.restart(agent)
        self.assertEqual(token.calls("C_Login"), 2)

    def test_refusal_during_a_reload_is_remembered(self):
        token = self.counting_token()
        token.set_pin_file(WRONG)
        token.rules(f"pin-tries {self.TRIES}", "C_Login delay 1500 1")
        agent = self.serve(token, ready=False, workers=1)
        token.wait_calls("C_Login")
        agent.reload()
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.assertIn(" source=file-", self.wait_refused(agent, 1))
        self.restart(agent)
        self.assertEqual(token.calls("C_Login"), 1)

    def test_logins_that_broke_off_are_not_made_again(self):
        token = self.counting_token()
        token.rules(f"pin-tries {self.TRIES}", "C_Login crash 2")
        agent = self.serve(token, ready=False, workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.restart(agent)
        self.assertEqual(token.calls("C_Login"), 2)
        self.assertEqual(token.tries_left(), self.TRIES)

    def test_login_that_broke_off_is_made_again(self):
        token = self.counting_token()
        token.rules(f"pin-tries {self.TRIES}", "C_Login crash 1")
        agent = self.serve(token, ready=False, workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.READY)
        self.assertEqual(token.calls("C_Login"), 2)
        self.wait_lines(agent, 0)
        self.restart(agent, TokenState.READY)

    def test_person_does_not_clear_it(self):
        """That the person has the right PIN says nothing of what the source has."""
        token, agent = self.refused()
        self.restart(agent)
        with agent.connect() as client:
            client.unlock(token.pin)
        self.assertIn(" source=file-", self.wait_refused(agent, 0))
        self.restart(agent)
        self.assertEqual(token.calls("C_Login"), 2)
        token.set_pin_file(token.pin)
        self.restart(agent, TokenState.READY)
        self.wait_lines(agent, 0)

    def test_agent_that_ends_in_the_login_makes_it_once_more(self):
        token = self.counting_token()
        token.rules(f"pin-tries {self.TRIES}", "C_Login hang 1")
        agent = self.serve(token, ready=False, workers=1)
        token.wait_calls("C_Login")
        agent.stop()
        self.assertEqual(len(self.lines(agent)), 1)
        agent.start()
        self.wait_token(agent, lambda t: t.state == TokenState.READY)
        self.wait_lines(agent, 0)

    def kill_in_the_login(self, agent, token, count):
        token.wait_calls("C_Login", count)
        children = agent.children()
        agent.process.kill()
        agent.process.wait()
        poll_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children),
                   what="its children ended")

    def test_agent_that_is_killed_in_the_login_makes_it_once_more(self):
        """Whether the token saw the PIN nobody knows."""
        token = self.counting_token()
        token.rules(f"pin-tries {self.TRIES}", "C_Login hang")
        agent = self.serve(token, ready=False, workers=1)
        self.kill_in_the_login(agent, token, 1)
        agent.start()
        self.kill_in_the_login(agent, token, 2)
        token.rules(f"pin-tries {self.TRIES}")
        agent.start()
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.assertEqual(token.calls("C_Login"), 2)

    def test_agent_that_is_killed_in_the_login_comes_back_open(self):
        token = self.counting_token()
        agent = self.serve(token, workers=1)
        token.rules(f"pin-tries {self.TRIES}", "C_Login hang 1")
        agent.kill_workers()
        self.kill_in_the_login(agent, token, 2)
        agent.start()
        self.wait_token(agent, lambda t: t.state == TokenState.READY)
        self.wait_lines(agent, 0)

    def test_login_that_never_reached_the_token_is_taken_back(self):
        token = self.counting_token(tries=1)  # so low that no source's PIN is tried
        agent = self.serve(token, ready=False, workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.wait_lines(agent, 0)
        token.tries_left(self.TRIES)
        self.restart(agent, TokenState.READY)


class TestFile(LedgerTest):
    def test_what_stands_there(self):
        token, agent = self.refused()
        line = self.wait_refused(agent, 1)
        self.assertRegex(line, rf"^token={token.serial}:demo refused=1 when=\d{{4}}-\d\d-\d\dT"
                               r"\d\d:\d\d:\d\dZ source=file-[0-9a-f]{16}-[0-9a-f.-]+$")
        self.assertNotIn(WRONG, line)
        self.assertEqual(self.ledger(agent).stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.ledger(agent).parent.stat().st_mode & 0o777, 0o700)

    def test_people_are_counted_without_a_source(self):
        token, agent = self.locked(self.counting_token())
        with agent.connect() as client:
            for count in (1, 2):
                self.assert_refused(Code.PIN, client.unlock, WRONG)
                line = self.wait_refused(agent, count)
                self.assertTrue(line.endswith(" source=-"), line)
            client.unlock(token.pin)
        self.wait_lines(agent, 0)

    def test_other_tokens_lines_stay(self):
        token = self.counting_token()
        token.set_pin_file(WRONG)
        agent = self.agent(token.config(workers=1), start=False)
        self.ledger(agent).parent.mkdir(parents=True)
        other = "token=77:other%20one refused=2 when=2020-01-01T00:00:00Z source=-"
        self.ledger(agent).write_text(f"nonsense\n{other}\n")
        agent.start()
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.assertIn(other, self.wait_lines(agent, 3))

    def test_state_directory_of_a_service(self):
        token = self.counting_token()
        token.set_pin_file(WRONG)
        state = token.dir / "state"
        state.mkdir()
        agent = self.agent(token.config(workers=1), env={"STATE_DIRECTORY": f"{state}:/other"})
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.assertTrue((state / "pin-ledger").exists())

    def test_without_a_place_to_write_it_is_said_once(self):
        token = self.counting_token()
        (token.dir / "file").write_text("")
        agent = self.serve(token, pin="ask", ready=False, workers=1,
                           agent_options={"env": {"XDG_STATE_HOME": f"{token.dir}/file"}})
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, WRONG)
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
        agent.wait_for_log("ledger of refused PINs cannot be written")
        self.assertEqual(agent.log().count("cannot be written"), 1)

    def test_place_whose_name_is_no_utf8(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1,
                           agent_options={"env": {"XDG_STATE_HOME": f"{token.dir}/\udcff"}})
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertIn("not UTF-8", agent.log())

    def test_something_in_the_way_holds_nothing_up(self):
        token = self.counting_token()
        token.set_pin_file(WRONG)
        agent = self.agent(token.config(workers=1, pin="ask"), start=False)
        self.ledger(agent).parent.mkdir(parents=True)
        os.mkfifo(self.ledger(agent).with_name("pin-ledger.new"))
        agent.start()
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, WRONG)
            client.unlock(token.pin)


if __name__ == "__main__":
    main()
