# SPDX-License-Identifier: Apache-2.0
"""No process, no descriptor to be had: BUSY now, service again when the limit is gone."""

import os
import resource
import signal
import time

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind, needs_root
from softhsm import run
from wire import ModuleState

LONELY_UID = 64201  # no other process runs as this user: RLIMIT_NPROC counts by user


class ResourceTest(FaultTest):
    def sign(self, client, key):
        return client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())

    def assert_busy_until(self, agent, key, limit, value):
        """With the limit at @value a dead worker cannot be replaced."""
        client = self.connect(agent)
        before = set_limit(agent, limit, value)
        agent.kill_workers()
        self.wait_module(agent_over(client, agent), lambda m: m.state == ModuleState.BACKOFF)
        seconds = self.timed(self.assert_refused, Code.BUSY, self.sign, client, key)
        self.assertLess(seconds, 0.5)
        set_limit(agent, limit, before)
        end = time.monotonic() + wire.DEADLINE
        while True:
            try:
                self.assert_signs(client, key)
                return
            except wire.Refused as refusal:
                self.assertEqual(refusal.code, Code.BUSY)
                self.assertLess(time.monotonic(), end, agent.log())
                time.sleep(0.05)


def set_limit(agent, name, value):
    """Change a soft limit of a running agent, as its own user; the value before."""
    command = [] if agent.uid is None else [
        "setpriv", f"--reuid={agent.uid}", f"--regid={agent.uid}", "--clear-groups", "--"]
    command += ["prlimit", f"--pid={agent.pid}"]
    before = run(*command, f"--{name}", "--noheadings", "--raw", "--output=SOFT").decode().strip()
    run(*command, f"--{name}={value}:")
    return before


def agent_over(client, agent):
    """@agent as seen through a connection that is open already: new ones cannot be accepted."""
    class Over:
        def status(self):
            return client.status()

        def log(self):
            return agent.log()
    return Over()


class TestNoProcess(ResourceTest):
    @needs_root
    def test_fork_fails(self):
        token = self.faulty_token()
        token.give_to(LONELY_UID)
        agent = self.serve(token, workers=1, sections="[agent]\nusers = 0\n",
                           agent_options={"uid": LONELY_UID})
        self.assert_busy_until(agent, token.keys["work"], "nproc", 1)


class TestNoDescriptor(ResourceTest):
    def test_pipe_fails(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        self.assert_busy_until(agent, token.keys["work"], "nofile", 3)

    def test_pin_source_cannot_be_started(self):
        """The worker lives; what fails is the pipe for its PIN."""
        token = self.faulty_token()
        agent = self.serve(token, workers=1, pin=f"command:cat {token.pin_file}")
        client = self.connect(agent)
        client.lock()
        before = set_limit(agent, "nofile", 3)
        agent.process.send_signal(signal.SIGHUP)
        client.status()
        set_limit(agent, "nofile", before)
        self.assert_serves(agent)


class TestWorkerOutOfMemory(ResourceTest):
    def test_killed_like_by_the_oom_killer(self):
        """As any other crash: one error at most, then service."""
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign delay 300 1")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        token.wait_calls("C_Sign")
        os.kill(agent.workers()[0], signal.SIGKILL)
        self.assertEqual(client.wait(request).code, Code.INTERNAL)
        self.assert_signs(client, token.keys["work"])

    def test_address_space_limit_in_the_worker(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        (worker,) = agent.workers()
        resource.prlimit(worker, resource.RLIMIT_AS, (1 << 20, 1 << 20))
        self.assert_recovers(agent, token.keys["work"])
        self.assert_serves(agent)


if __name__ == "__main__":
    main()
