# SPDX-License-Identifier: Apache-2.0
"""A token behind p11fault.so: its rules, its log of calls, and test cases with an agent on it.

The rules are explained in tests/tools/p11fault_rules.h. Counts in a rule hold over all processes.
"""

import os
import time
from collections import Counter

import harness
import tls_messages
import wire
from harness import BUILD_ROOT, IntegrationTest, Kind, poll_until
from softhsm import MODULE, TokenDir

TOOLS = BUILD_ROOT / "tests/tools"
P11FAULT = TOOLS / "p11fault.so"


class FaultyToken(TokenDir):
    """A TokenDir whose agent.conf goes through p11fault.so."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.control = self.dir / "ctl"
        self.calls_file = self.dir / "calls"
        self.rules()

    def rules(self, *lines):
        """These rules and no others from now on; all counts begin anew."""
        part = self.dir / "ctl.part"
        part.write_text("".join(line + "\n" for line in lines))
        os.chown(part, self.dir.stat().st_uid, self.dir.stat().st_gid)
        part.rename(self.control)

    def calls(self, function, pid=None):
        """How often @function was called, by process @pid alone when given."""
        return Counter(name for caller, name in self._log()
                       if pid is None or caller == pid)[function]

    def calling_pids(self, function):
        """The processes that called @function, in the order of their first call."""
        return list(dict.fromkeys(caller for caller, name in self._log() if name == function))

    def _log(self):
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        for line in text.splitlines():
            pid, name = line.split()
            yield int(pid), name

    def wait_calls(self, function, count=1, deadline=wire.DEADLINE):
        """Until @function was called @count times in all."""
        return poll_until(lambda: self.calls(function) >= count, deadline,
                          f"{function} called {count} times")

    def tries_left(self, tries=None):
        """The counter of `pin-tries`; sets it when @tries is given."""
        file = self.dir / f"ctl.pin-{self.label}"
        if tries is not None:
            file.write_text(f"{tries}\n")
        return int(file.read_text())

    def config(self, module="faulty", **options):
        text = super().config(module=module, **options)
        return text.replace(f"path = {MODULE}\n",
                            f"path = {P11FAULT}\n"
                            f"environment = P11FAULT_MODULE={MODULE}\n"
                            f"environment = P11FAULT_CTL={self.control}\n"
                            f"environment = P11FAULT_LOG={self.calls_file}\n")

    def check(self):
        """Every rule was understood."""
        error = self.dir / "ctl.error"
        if error.exists():
            raise AssertionError(f"p11fault does not know this rule: {error.read_text()}")


class FaultTest(IntegrationTest):
    """A faulty token with one P-256 key "work" for each test, and an agent on it.

    TIMEOUT is what the module is given per call; a test that waits for it waits that long.
    """

    TIMEOUT = "2s"
    TIMEOUT_SECONDS = 2.0

    def faulty_token(self, keys=None, **kwargs):
        token = FaultyToken(**kwargs)
        self.addCleanup(token.remove)
        self.addCleanup(token.check)
        for label, kind in (keys or {"work": "EC:prime256v1"}).items():
            token.key(label, kind)
        return token

    def serve(self, token, *others, sections="", ready=True, agent_options=None, **options):
        """An agent on @token, with the TokenDirs @others as further modules."""
        options = {"timeout": self.TIMEOUT, **options}
        text = token.config(**options) + sections
        for number, other in enumerate(others):
            text += other.config(module=f"other{number}")
        agent = self.agent(text, **(agent_options or {}))
        if ready:
            agent.wait_keys(len(token.keys) + sum(len(other.keys) for other in others))
        return agent

    def other_token(self):
        """A healthy SoftHSM token, to see that a fault stays where it is."""
        token = self.token(label="healthy")
        token.key("healthy")
        return token

    def module(self, agent, name="faulty"):
        return next(m for m in agent.status().modules if m.name == name)

    def wait_module(self, agent, predicate, deadline=wire.DEADLINE, name="faulty"):
        def look():
            module = self.module(agent, name)
            return module if predicate(module) else None
        return poll_until(look, deadline, f"state of module {name}\n{agent.log()}")

    def token_status(self, agent, label="demo"):
        return next((t for t in agent.status().tokens if t.label == label), None)

    def wait_token(self, agent, predicate, deadline=wire.DEADLINE, label="demo"):
        def look():
            token = self.token_status(agent, label)
            return token if token and predicate(token) else None
        return poll_until(look, deadline, f"state of token {label}\n{agent.log()}")

    def ask(self, client, key, deadline_ms=0, scheme=wire.ECDSA_SHA256):
        """Send one sign request; returns its id. client.wait(id) has the reply."""
        request_id = client.next_id()
        client.send(wire.sign(request_id, key.hash, scheme, Kind.TLS13,
                              tls_messages.certificate_verify(), deadline_ms))
        return request_id

    def timed(self, call, *args, **kwargs):
        """Seconds that a call took."""
        start = time.monotonic()
        call(*args, **kwargs)
        return time.monotonic() - start

    def assert_recovers(self, agent, key, deadline=wire.DEADLINE):
        """Signatures come again by themselves."""
        def sign():
            with agent.connect() as client:
                try:
                    client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                                tls_messages.certificate_verify())
                    return True
                except wire.Refused:
                    return False
        poll_until(sign, deadline, f"signatures again\n{agent.log()}")


main = harness.main
