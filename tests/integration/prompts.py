# SPDX-License-Identifier: Apache-2.0
"""An agent that asks people, through the fake pinentry; and clients whose display is the test's."""

import os
import subprocess

from faults import FaultTest
from fake_pinentry import Pinentry
from harness import MTLS_BIN, poll_until
from wire import TokenState

DISPLAY = {"DISPLAY": ":77"}


class PromptTest(FaultTest):
    """locked(): a token with `pin = ask`, and an agent on it whose pinentry is self.pinentry."""

    TRIES = 3

    def locked(self, token=None, token_options="", agent_section="", **options):
        token = token or self.faulty_token()
        self.pinentry = Pinentry(token.dir / "prompts")
        text = token.config(pin="ask", **{"workers": 1, "timeout": self.TIMEOUT, **options})
        text = text.replace("pin = ask\n", "pin = ask\n" + token_options)
        text = text.replace(f"pkcs11:token={token.label}", f"pkcs11:serial={token.serial}")
        agent = self.agent(f"[agent]\npinentry = {self.pinentry.program}\n{agent_section}" + text)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED, label=token.label)
        return token, agent

    def counting_token(self, tries=None, **kwargs):
        token = self.faulty_token(**kwargs)
        token.rules(f"pin-tries {self.TRIES}")
        token.tries_left(self.TRIES if tries is None else tries)
        return token

    def start_asking(self, agent, env=None, args=(), **popen):
        """`mtls unlock --ask` in a session of its own, so that no terminal is the test's."""
        env = DISPLAY if env is None else env
        return self.start_process(
            MTLS_BIN, "unlock", "--ask", *args,
            env={"PATH": "/usr/bin:/bin", "MTLS_AGENT_SOCK": str(agent.socket), **env},
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
               "text": True, "start_new_session": True, **popen})

    def ask(self, agent, *answers, **kwargs):
        """Have a person asked, who gives these answers; (exit code, what mtls said)."""
        self.pinentry.answer(*answers)
        process = self.start_asking(agent, **kwargs)
        said = process.communicate(timeout=30)[0]
        return process.returncode, said

    def wait_dialogs(self, count):
        return poll_until(lambda: len(self.pinentry.dialogs) >= count and self.pinentry.dialogs,
                          what=lambda: f"{count} dialogs, seen {self.pinentry.dialogs}")

    def keepers(self, agent):
        """ask-pin processes: each keeps a PIN, or asks for one."""
        return agent.children("ask-pin")

    def wait_keepers(self, agent, count):
        poll_until(lambda: len(self.keepers(agent)) == count,
                   what=lambda: f"{count} keepers, not {self.keepers(agent)}\n{agent.log()}")


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")
