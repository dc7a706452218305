# SPDX-License-Identifier: Apache-2.0
"""A PIN is in the worker and nowhere else: not in the core's memory, not in any text."""

import os
import re
import subprocess
from pathlib import Path

from fake_pinentry import Pinentry
from faults import FaultTest, main
from harness import Code, MTLS_BIN, needs_root
from process_memory import memory_has
from wire import TokenState

PIN = "Xq7-rare-pin-Vm2"
WRONG_PIN = "Kd4-wrong-pin-Ts9"


@needs_root
class TestMemory(FaultTest):
    """The core is not dumpable; root reads it all the same."""

    def test_search_finds_what_is_there(self):
        """A needle that the core does have, so that the other tests mean something."""
        token = self.faulty_token(pin=PIN)
        agent = self.serve(token)
        self.assertIsNotNone(memory_has(agent.pid, str(token.pin_file)))

    def test_pin_from_a_file(self):
        token = self.faulty_token(pin=PIN)
        agent = self.serve(token)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertIsNone(memory_has(agent.pid, PIN))

    def test_pin_from_a_command(self):
        token = self.faulty_token(pin=PIN)
        agent = self.serve(token, pin=f"command:cat {token.pin_file}")
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertIsNone(memory_has(agent.pid, PIN))

    def test_pin_that_a_person_typed(self):
        token = self.faulty_token(pin=PIN)
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, WRONG_PIN)
            client.unlock(PIN)
            self.assert_signs(client, token.keys["work"])
        self.assertIsNone(memory_has(agent.pid, PIN))
        self.assertIsNone(memory_has(agent.pid, WRONG_PIN))


class TestTexts(FaultTest):
    AUDIT = "[agent]\naudit = file:{}\n"

    def texts(self, agent):
        """Everything that the agent and its helpers write or show."""
        yield "log", agent.log()
        yield "audit", "\n".join(agent.audit())
        yield "status", repr(agent.status())
        for pid in [agent.pid, *agent.children()]:
            # The environment of a process that is not dumpable is for root to see.
            for name in ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",):
                try:
                    text = Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended: ask-pin does so a moment after a login
                yield f"{name} of {pid}", text

    def serve_audited(self, token, **options):
        agent = self.agent(start=False, args=["--log-level", "debug"])
        agent.configure(self.AUDIT.format(agent.audit_file) + token.config(**options))
        return agent.start()

    def assert_unseen(self, agent, *pins):
        for name, text in self.texts(agent):
            for pin in pins:
                self.assertNotIn(pin, text, name)
                self.assertNotIn(pin.encode().hex(), text.lower(), name)

    def test_right_pin(self):
        token = self.faulty_token(pin=PIN)
        agent = self.serve_audited(token)
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assert_unseen(agent, PIN)

    def test_pin_from_a_dialog(self):
        """Nor in what the dialog itself is told."""
        token = self.faulty_token(pin=PIN)
        pinentry = Pinentry(token.dir / "prompts")
        agent = self.agent(start=False, args=["--log-level", "debug"])
        agent.configure(f"[agent]\naudit = file:{agent.audit_file}\npinentry = {pinentry.program}\n" +
                        token.config(pin="ask").replace("pin = ask", "pin = ask\npin-cache = 1h"))
        agent.start()
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        pinentry.answer(f"pin {WRONG_PIN}", f"pin {PIN}")
        self.start_process(MTLS_BIN, "unlock", "--ask", stderr=subprocess.DEVNULL,
                           env={"MTLS_AGENT_SOCK": str(agent.socket), "DISPLAY": ":77"}).wait(30)
        self.wait_token(agent, lambda t: t.state == TokenState.READY)
        self.assertTrue(agent.children("ask-pin"), "nothing is kept")
        self.assert_unseen(agent, PIN, WRONG_PIN)
        self.assertNotIn(PIN, repr(pinentry.dialogs))

    def test_wrong_pin(self):
        token = self.faulty_token(pin=PIN)
        agent = self.serve_audited(token, pin="ask")
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            refusal = self.assert_refused(Code.PIN, client.unlock, WRONG_PIN)
        self.assertNotIn(WRONG_PIN, refusal.text)
        self.assert_unseen(agent, WRONG_PIN)

    def test_unusable_pin(self):
        token = self.faulty_token()
        agent = self.serve_audited(token, pin="ask")
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        with agent.connect() as client:
            refusal = self.assert_refused(Code.PIN, client.unlock, PIN.encode() + b"\0" + b"x" * 9)
        self.assertNotIn(PIN, refusal.text)
        self.assert_unseen(agent, PIN)

    def test_pin_in_place_of_a_source(self):
        """The commonest mistake in a configuration: the message does not repeat the value."""
        token = self.faulty_token(pin=PIN)
        agent = self.agent(token.config(pin=PIN), start=False).launch()
        self.assertNotEqual(agent.wait_exit(), 0)
        self.assertNotIn(PIN, agent.log())
        self.assertTrue(re.search(r"agent\.conf:\d+: ", agent.log()), agent.log())

    def test_no_core_dump(self):
        token = self.faulty_token(pin=PIN)
        agent = self.serve(token)
        for pid in [agent.pid, *agent.workers()]:
            limits = Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size\s+0\s+0\s")


if __name__ == "__main__":
    main()
