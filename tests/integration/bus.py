# SPDX-License-Identifier: Apache-2.0
"""A message bus of the test's own, and the fakes of the services that the agent listens to on it.

The fakes are tests/tools/fake_logind.c and fake_notifications.c, which explain their commands.
"""

import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import wire
from faults import FaultTest
from harness import BUILD_ROOT
from wire import TokenState

TOOLS = BUILD_ROOT / "tests/tools"
DBUS_DAEMON = shutil.which("dbus-daemon")

needs_bus = unittest.skipUnless(DBUS_DAEMON, "no dbus-daemon (Debian: package dbus-daemon)")

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class Bus:
    """A dbus-daemon on a socket in a directory of its own; can be started and stopped again."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-bus-"))
        self.address = f"unix:path={self.dir}/bus"
        (self.dir / "bus.conf").write_text(CONFIG.format(address=self.address))
        self.process = None

    def start(self):
        with open(self.dir / "stderr", "ab") as log:
            self.process = subprocess.Popen(
                [DBUS_DAEMON, f"--config-file={self.dir}/bus.conf", "--nofork", "--nopidfile",
                 "--print-address"], stdout=subprocess.PIPE, stderr=log,
                env={"PATH": os.environ["PATH"]})
        if not self.process.stdout.readline():
            raise AssertionError(f"dbus-daemon ended with {self.process.wait()}: "
                                 f"{(self.dir / 'stderr').read_text()}")
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None
        (self.dir / "bus").unlink(missing_ok=True)

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Fake:
    """One fake service: commands go in, what happened comes out as lines."""

    def __init__(self, program, address, *args):
        self.process = subprocess.Popen([TOOLS / program, address, *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lines = queue.Queue()
        self.seen = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.wait("ready")

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def _take(self, timeout):
        line = self.lines.get(timeout=timeout)
        if line is None:
            raise AssertionError(f"the fake ended with {self.process.wait()}; seen: {self.seen}")
        self.seen.append(line)
        return line

    def wait(self, begin, deadline=wire.DEADLINE):
        """The next line that begins so; those before it are in `seen`."""
        end = time.monotonic() + deadline
        while True:
            try:
                line = self._take(max(0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {begin!r} within {deadline} s; seen: {self.seen}") \
                    from None
            if line.startswith(begin):
                return line

    def has_said(self, begin):
        """Whether a line that was not waited for begins so; takes all that are there."""
        lines = []
        while not self.lines.empty():
            lines.append(self._take(0))
        return any(line.startswith(begin) for line in lines)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class HangingBus:
    """A socket that takes connections and never says a word."""

    def __init__(self, directory):
        self.path = Path(directory) / "hanging"
        self.address = f"unix:path={self.path}"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(1)

        self.connections = []

    def accept(self):
        self.connections.append(self.socket.accept()[0])

    def close(self):
        for connection in (*self.connections, self.socket):
            connection.close()


class BusTest(FaultTest):
    def bus(self):
        bus = Bus()
        self.addCleanup(bus.remove)
        return bus.start()

    def fake(self, program, bus, *args):
        fake = Fake(program, bus.address, *args)
        self.addCleanup(fake.end)
        return fake

    def serve_typed(self, token, env, **options):
        """An agent on @token, whose PIN only a person has."""
        agent = self.serve(token, ready=False, pin="ask", workers=1,
                           agent_options={"env": env}, **options)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        return agent

    def unlock(self, agent, token):
        with agent.connect() as client:
            client.unlock(token.pin, token.label)
            self.assert_signs(client, token.keys["work"])

    def wait_locked(self, agent, label="demo", deadline=wire.DEADLINE):
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED, deadline, label)
