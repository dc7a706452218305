# SPDX-License-Identifier: Apache-2.0
"""What the tests of `mtls` stand on: a fake agent with software keys, or one that plays a script.

`CliTest` gives each test a directory, a clean environment and `self.mtls(...)`. `FakeAgent` is the
program tests/tools/fake-agent. `ScriptedAgent` answers with the status and the keys it was given:
several tokens, hostile names. Neither needs a token or the real agent.
"""

import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

import wire
from harness import BUILD_ROOT, MTLS_BIN
from wire import Code, Kind, Type

FAKE_AGENT_BIN = os.environ.get("MTLS_FAKE_AGENT") or str(BUILD_ROOT / "tests/tools/fake-agent")
DEADLINE = 30.0
FAKE_PIN = "1234"

# Exit codes, as mtls(1) has them.
OK, FAILURE, USAGE, NO_AGENT, NO_KEY, REFUSED, LOCKED, UNAVAILABLE = range(8)

_PASSED_ON = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE")


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args}: {done.stderr.decode()}")
    return done.stdout


class Pki:
    """Software keys and certificates in files, made once for a test class."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-cli-pki-"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.dir / "ca.key", "-out", self.dir / "ca.crt", "-subj", "/CN=Test CA",
                "-days", "3650")

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def key(self, name, algorithm="EC"):
        options = {"EC": ["-pkeyopt", "ec_paramgen_curve:P-256"],
                   "RSA": ["-pkeyopt", "rsa_keygen_bits:2048"], "ED25519": []}[algorithm]
        path = self.dir / f"{name}.pem"
        openssl("genpkey", "-algorithm", algorithm, *options, "-out", path)
        return path

    def cert(self, name, subject, days=100):
        """Leaf and CA for the key @name, in one file."""
        path = self.dir / f"{name}.crt"
        request = openssl("req", "-new", "-utf8", "-key", self.dir / f"{name}.pem", "-subj", subject)
        leaf = openssl("x509", "-req", "-CA", self.dir / "ca.crt", "-CAkey", self.dir / "ca.key",
                       "-CAcreateserial", "-days", days, data=request)
        path.write_bytes(leaf + (self.dir / "ca.crt").read_bytes())
        return path

    def argument(self, name):
        """As fake-agent takes a key."""
        cert = self.dir / f"{name}.crt"
        return f"{self.dir / name}.pem:{cert if cert.exists() else ''}:{name}"


class FakeAgent:
    """tests/tools/fake-agent; returns when it listens."""

    def __init__(self, socket_path, keys, args=()):
        self.socket = socket_path
        self.log_file = Path(f"{socket_path}.log")
        self.process = subprocess.Popen(
            [FAKE_AGENT_BIN, "--log", str(self.log_file), *map(str, args), str(socket_path), *keys],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(f"fake-agent: {self.process.stderr.read()}")

    def log(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@dataclass
class ScriptToken:
    label: str
    serial: str
    state: wire.TokenState = wire.TokenState.READY
    text: str = ""
    pin: str = FAKE_PIN


@dataclass
class ScriptModule:
    name: str = "fake"
    path: str = "/nonexistent/fake.so"
    state: wire.ModuleState = wire.ModuleState.READY
    text: str = ""


@dataclass
class ScriptRefusal:
    text: str
    age_ms: int = 0
    count: int = 1
    uid: int = 0
    pid: int = 4712
    program: str = "/usr/bin/browser"
    key: str = "work"
    kind: int = Kind.DIGEST


class ScriptedAgent(threading.Thread):
    """Answers HELLO, LIST, STATUS, UNLOCK and LOCK from the lists it was given."""

    def __init__(self, socket_path, tokens=(), keys=(), modules=(ScriptModule(),), config_text="",
                 refusals=(), readers=(), readers_text=""):
        super().__init__(daemon=True)
        self.tokens, self.keys, self.modules = list(tokens), list(keys), list(modules)
        self.config_text, self.refusals = config_text, list(refusals)
        self.readers, self.readers_text = list(readers), readers_text
        self.pins = []       # what came through the pipes
        self.selectors = []  # of UNLOCK and LOCK
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(socket_path))
        self.listener.listen(8)
        self.start()

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join(DEADLINE)
        self.listener.close()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.serve(connection)

    def serve(self, connection):
        while True:
            message = self.receive(connection)
            if message is None:
                return
            frame_type, body, fds = message
            try:
                connection.sendall(self.answer(frame_type, body, fds))
            except OSError:
                return

    @staticmethod
    def receive(connection):
        data, fds, _, _ = socket.recv_fds(connection, 4, 4)
        while 0 < len(data) < 4:
            data += connection.recv(4 - len(data))
        if len(data) < 4:
            return None
        rest = b""
        while len(rest) < int.from_bytes(data, "big"):
            more, more_fds, _, _ = socket.recv_fds(
                connection, int.from_bytes(data, "big") - len(rest), 4)
            if not more:
                return None
            rest += more
            fds += more_fds
        return rest[0], wire.Fields(rest[1:]), fds

    def answer(self, frame_type, body, fds):
        if frame_type == Type.HELLO:
            return wire.frame(Type.HELLO_REPLY, wire.u32(1) + wire.string("script"))
        request_id = body.u32()
        if frame_type == Type.STATUS:
            return wire.frame(Type.STATUS_REPLY, wire.u32(request_id) + self.status())
        if frame_type == Type.LIST:
            return wire.frame(Type.LIST_REPLY, wire.u32(request_id) + self.list(body))
        if frame_type in (Type.UNLOCK, Type.LOCK):
            self.selectors.append(body.text())
            return self.unlock(request_id, fds) if frame_type == Type.UNLOCK else \
                wire.frame(Type.LOCK_REPLY, wire.u32(request_id))
        return self.error(request_id, Code.PROTO, "not in the script")

    @staticmethod
    def error(request_id, code, text):
        return wire.frame(Type.ERROR, wire.u32(request_id) + wire.u32(code) + wire.string(text))

    def unlock(self, request_id, fds):
        with os.fdopen(fds[0], "rb") as pipe:
            pin = pipe.read().decode()
        self.pins.append(pin)
        token = next(t for t in self.tokens if self.selectors[-1] in (t.label, t.serial))
        if pin != token.pin:
            return self.error(request_id, Code.PIN, "The PIN is wrong; 2 tries are left.")
        token.state = wire.TokenState.READY
        return wire.frame(Type.UNLOCK_REPLY, wire.u32(request_id))

    def status(self):
        modules = b"".join(wire.string(
            wire.string(m.name) + wire.string(m.path) + wire.u32(m.state) + wire.u32(1) +
            wire.u32(0) + wire.string(m.text)) for m in self.modules)
        tokens = b"".join(wire.string(
            wire.string(t.label) + wire.string(t.serial) + wire.string("fake") + wire.u32(t.state) +
            wire.u32(1) + wire.string(t.text)) for t in self.tokens)
        refusals = b"".join(wire.string(
            wire.u64(r.age_ms) + wire.u32(r.count) + wire.u32(r.uid) + wire.u32(r.pid) +
            wire.string(r.program) + wire.string(r.key) + wire.u8(r.kind) +
            wire.string(r.text)) for r in self.refusals)
        readers = b"".join(wire.string(wire.string(r.name) + wire.u32(r.state) +
                                       wire.string(r.text)) for r in self.readers)
        counters = bytes(8 * 4) + wire.u32(1) + wire.u32(0)
        return (wire.string("script") + wire.u32(4711) + counters + wire.string(self.config_text) +
                wire.string(modules) + wire.string(tokens) + wire.string(refusals) +
                wire.string(self.readers_text) + wire.string(readers))

    def list(self, body):
        """Every key for every selector but an unknown name."""
        body.u32()
        selector = body.text()
        keys = [k for k in self.keys if selector in ("", k.name) or
                selector == "sha256:" + k.hash.hex()]
        entries = b"".join(wire.string(self.key(k)) for k in keys)
        return wire.u32(len(keys)) + wire.u32(0) + wire.u32(len(keys)) + wire.string(entries)

    @staticmethod
    def key(key):
        schemes = b"".join(wire.u32(s) for s in key.schemes)
        certs = b"".join(wire.string(c) for c in key.certs)
        return (wire.string(key.name) + wire.string(key.hash) + wire.u32(key.type) +
                wire.u32(key.bits) + wire.u32(key.state) + wire.u32(key.policy) +
                wire.u8(key.always_authenticate) + wire.string(key.label) +
                wire.string(key.ck_id) + wire.string(key.token_label) +
                wire.string(key.token_serial) + wire.string(key.module) + wire.string(key.spki) +
                wire.u32(len(key.schemes)) + schemes + wire.u32(len(key.certs)) + certs)


# A shell with one job in the foreground: tells its process id, then how it ended. Only a job of a
# living shell can be stopped by SIGTSTP.
SHELL = r"""
import os, signal, sys
report = int(sys.argv[1])
pid = os.fork()
if pid == 0:
    os.close(report)
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
os.write(report, b"%d\n" % pid)
os.write(report, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class Terminal:
    """The command at a terminal of its own, as a person has it."""

    def __init__(self, env, *args):
        self.text = ""
        self.controller, self.terminal = os.openpty()
        self.before = termios.tcgetattr(self.terminal)
        read_end, write_end = os.pipe()
        self.report = os.fdopen(read_end)
        self.shell = subprocess.Popen(
            [sys.executable, "-c", SHELL, str(write_end), MTLS_BIN, *args], env=env,
            stdin=self.terminal, stdout=self.terminal, stderr=self.terminal, pass_fds=[write_end],
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(self.terminal, termios.TIOCSCTTY, 0))
        os.close(write_end)
        self.pid = int(self.report.readline())

    def wait_for(self, text, count=1):
        end = time.monotonic() + DEADLINE
        while self.text.count(text) < count:
            if not select.select([self.controller], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {text!r} in {self.text!r}")
            self.text += os.read(self.controller, 4096).decode()

    def type(self, text):
        os.write(self.controller, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def wait(self):
        """Exit code; -N for signal N."""
        code = int(self.report.readline())
        self.shell.wait(DEADLINE)
        while select.select([self.controller], [], [], 0)[0]:
            self.text += os.read(self.controller, 4096).decode()
        return code

    def state(self):
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def is_restored(self):
        return termios.tcgetattr(self.terminal) == self.before

    def end(self):
        if self.shell.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.shell.wait(DEADLINE)
        self.report.close()
        os.close(self.terminal)
        os.close(self.controller)


class CliTest(unittest.TestCase):
    """A directory, a clean environment, and the command."""

    @classmethod
    def setUpClass(cls):
        cls.pki = Pki()
        cls.addClassCleanup(cls.pki.remove)

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-cli-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.runtime = self.dir / "runtime"
        self.runtime.mkdir(mode=0o700)
        self.socket = self.dir / "agent.sock"
        self.env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self.env |= {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.dir),
                     "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(self.runtime),
                     "MTLS_AGENT_SOCK": str(self.socket),
                     "OPENSSL_MODULES": str(self.modules_dir())}

    def modules_dir(self):
        """With a file that stands for the provider; nothing here loads it."""
        path = self.dir / "modules"
        path.mkdir(exist_ok=True)
        (path / "mtls-agent.so").touch()
        return path

    def fake_agent(self, *keys, args=()):
        agent = FakeAgent(self.socket, [self.pki.argument(key) for key in keys], args)
        self.addCleanup(agent.end)
        return agent

    def scripted_agent(self, **script):
        agent = ScriptedAgent(self.socket, **script)
        self.addCleanup(agent.end)
        return agent

    def mtls(self, *args, **kwargs):
        """Runs the command to its end; .returncode, .stdout, .stderr."""
        kwargs.setdefault("env", self.env)
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([MTLS_BIN, *map(str, args)], capture_output=True, text=True,
                              errors="surrogateescape", timeout=DEADLINE, check=False, **kwargs)

    def start(self, *args, **kwargs):
        """Starts the command; ended with the test."""
        process = subprocess.Popen([MTLS_BIN, *map(str, args)], env=self.env, text=True,
                                   **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                      "stderr": subprocess.PIPE, **kwargs})

        def end():
            if process.poll() is None:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                for pid in [process.pid, *map(int, children.split())]:
                    os.kill(pid, signal.SIGKILL)
            process.communicate()
        self.addCleanup(end)
        return process

    def terminal(self, *args):
        terminal = Terminal(self.env, *args)
        self.addCleanup(terminal.end)
        return terminal

    def succeed(self, *args, **kwargs):
        done = self.mtls(*args, **kwargs)
        self.assertEqual((done.returncode, done.stderr), (OK, ""), args)
        return done.stdout

    def fail_with(self, code, *args, **kwargs):
        """The command fails with this code and one line that says what is wrong and what to do."""
        done = self.mtls(*args, **kwargs)
        self.assertEqual(done.returncode, code, f"{args}\n{done.stdout}{done.stderr}")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("mtls: "), done.stderr)
        return lines[0]
