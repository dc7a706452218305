# SPDX-License-Identifier: Apache-2.0
"""What every integration test stands on: an agent of its own, started and ended for the test.

`IntegrationTest` ends everything that was started, by process id, also when an assertion failed.
`Agent` waits for readiness through its own notification socket; nothing here sleeps for luck.
`TokenDir` (softhsm.py), `Wire` (wire.py) and tls_messages.py are the other three parts.

    class TestSomething(IntegrationTest):
        def test_it(self):
            token = self.token()
            key = token.key("work")
            agent = self.agent(token.config())
            with agent.connect() as client:
                signature = client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13, content)
"""

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import softhsm
import tls_messages
import wire
from softhsm import CA, MODULE, TokenDir
from wire import Code, KeyState, Kind, Refused, Wire

__all__ = ["AGENT_BIN", "Agent", "BUILD_ROOT", "CA", "Code", "IntegrationTest", "KeyState", "Kind",
           "MODULE", "OTHER_UID", "Refused", "ServedTest", "TokenDir", "Wire",
           "look_inside", "needs_mounts", "needs_no_sanitizer", "needs_root",
           "needs_user_namespaces", "poll_until", "softhsm"]

BUILD_ROOT = Path(os.environ.get("MTLS_BUILD_ROOT") or
                  Path(__file__).resolve().parents[2] / "build")
AGENT_BIN = os.environ.get("MTLS_AGENT_BIN") or str(BUILD_ROOT / "agent/mtls-agent")
MTLS_BIN = os.environ.get("MTLS_BIN") or str(BUILD_ROOT / "client/cli/mtls")
LIBEXECDIR = os.environ.get("MTLS_AGENT_LIBEXECDIR") or str(BUILD_ROOT / "pkcs11")
PROVIDER_DIR = os.environ.get("MTLS_PROVIDER_DIR") or str(BUILD_ROOT / "client/provider")

START_DEADLINE = 20.0
STOP_DEADLINE = 5.0  # the agent's own promise
OTHER_UID = 64123    # a user that owns nothing on the machine

# What sanitizer and coverage builds need in every process.
_PASSED_ON = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "LD_LIBRARY_PATH",
              "GCOV_PREFIX", "LLVM_PROFILE_FILE")

needs_no_sanitizer = unittest.skipUnless(os.environ.get("MTLS_SANITIZE", "none") == "none",
                                         "a sanitizer's own memory and libraries are in the way")


# A command before another: it runs as another user, in a user namespace where that one has a number.
IN_USER_NAMESPACE = ("setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups",
                     "unshare", "--user", "--map-current-user")


def can_run(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# In a chroot the kernel gives neither mounts of one's own that can be changed nor users.
needs_mounts = unittest.skipUnless(os.geteuid() == 0 and can_run("unshare", "-m", "true"),
                                   "no mount namespace can be made here")
needs_user_namespaces = unittest.skipUnless(
    os.geteuid() == 0 and can_run(*IN_USER_NAMESPACE, "true"), "no user namespace can be made here")
needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")


def poll_until(predicate, deadline=wire.DEADLINE, what="condition"):
    """The first true value of predicate(); for states that nothing announces.

    @what: a text, or a function that makes it when it is needed.
    """
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")
        time.sleep(0.01)


class Agent:
    """One mtls-agent in a directory of its own. start() returns when it is ready."""

    def __init__(self, config="", args=(), env=None, uid=None, wrap=(), allow_root=True,
                 pass_fds=(), socket_path=None, discover=False):
        """
        @config: text of agent.conf. @args: further arguments. @env: added to a clean environment.
        @uid: run as this user (needs root). @wrap: a command that executes the agent in its place
        (prlimit, setpriv ...). @socket_path: None: agent.sock in `run`; "": no --socket at all.
        @discover: without a [module] section, serve what the machine has; else: no token at all.
        """
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-"))
        self.dir.chmod(0o755)
        self.run_dir = self.dir / "run"
        self.run_dir.mkdir(mode=0o700)
        self.socket = self.run_dir / "agent.sock" if socket_path is None else socket_path
        self.config_file = self.dir / "agent.conf"
        self.audit_file = self.dir / "audit.jsonl"
        self.log_file = self.dir / "stderr"
        self.uid, self.wrap, self.args, self.allow_root = uid, list(wrap), list(args), allow_root
        self.env, self.pass_fds, self.discover = dict(env or {}), pass_fds, discover
        (self.dir / "tokens").mkdir()  # stays empty: for an agent without a token
        (self.dir / "softhsm2.conf").write_text(f"directories.tokendir = {self.dir}/tokens\n")
        self.process = None
        self.notifications = ""
        self._notify = None
        self.configure(config)

    # ---- life cycle

    def configure(self, text):
        """Write agent.conf; reload() makes a running agent read it."""
        if "[module" not in text and not self.discover:
            text += f"\n[module none]\npath = {MODULE}\n" \
                    f"environment = SOFTHSM2_CONF={self.dir}/softhsm2.conf\n"
        if "pinentry" not in text:  # no dialog for whoever runs the tests
            text += "\n[agent]\npinentry = none\n"
        self.config_file.write_text(text)
        self.config_file.chmod(0o644)

    def command(self):
        command = list(self.wrap)
        if self.uid is not None:
            command += ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups",
                        "--"]
        command += [AGENT_BIN]
        command += ["--config", str(self.config_file)] if self.config_file else []
        command += ["--socket", str(self.socket)] if self.socket else []
        if self.allow_root and os.geteuid() == 0 and not self.uid:
            command.append("--allow-root")
        return command + self.args

    def environment(self):
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.dir),
                "XDG_RUNTIME_DIR": str(self.run_dir), "MTLS_AGENT_LIBEXECDIR": LIBEXECDIR,
                "NOTIFY_SOCKET": str(self.dir / "notify"),
                # what the machine's own logind says is not for an agent under test
                "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.dir}/no-bus", **env, **self.env}

    def launch(self, **popen):
        """Start the process without waiting for anything."""
        if self._notify:
            self._notify.close()
            (self.dir / "notify").unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.dir / "notify"))
        (self.dir / "notify").chmod(0o666)
        self.notifications = ""
        if self.uid is not None:
            for path in filter(None, (self.dir, self.run_dir, self.config_file)):
                os.chown(path, self.uid, self.uid)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.command(), **{
                "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log,
                "env": self.environment(), "cwd": "/", "pass_fds": self.pass_fds, **popen})
        return self

    def start(self, **popen):
        self.launch(**popen)
        self.wait_notified("READY=1")
        return self

    def wait_notified(self, line, deadline=START_DEADLINE):
        """Until the agent sent @line to its notification socket; fails when it ended first."""
        end = time.monotonic() + deadline
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while line not in self.notifications.splitlines():
                ready = select.select([self._notify, pidfd], [], [],
                                      max(0, end - time.monotonic()))[0]
                if self._notify in ready:
                    self.notifications += self._notify.recv(65536).decode() + "\n"
                elif pidfd in ready:
                    raise AssertionError(f"agent ended with {self.process.wait()} before {line}:\n"
                                         f"{self.log()}")
                elif not ready:
                    raise AssertionError(f"no {line} within {deadline} s:\n{self.log()}")
        finally:
            os.close(pidfd)

    def reload(self, text=None):
        """SIGHUP, with a new configuration when given; returns when the reload was dealt with."""
        if text is not None:
            self.configure(text)
        while select.select([self._notify], [], [], 0)[0]:
            self._notify.recv(65536)  # of an earlier reload
        self.notifications = ""
        self.process.send_signal(signal.SIGHUP)
        self.wait_notified("READY=1")

    def stop(self):
        """SIGTERM; the agent must end with 0 in time and leave no process behind."""
        children = self.children()
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit(STOP_DEADLINE)
        if code != 0:
            raise AssertionError(f"exit code {code} after SIGTERM:\n{self.log()}")
        poll_until(lambda: not any(map(is_alive, children)), STOP_DEADLINE, "children ended")

    def wait_exit(self, deadline=START_DEADLINE):
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"agent still runs after {deadline} s:\n{self.log()}") from None

    def end(self):
        """For clean-up: whatever still runs is killed, the directory is removed."""
        if self.process and self.process.poll() is None:
            children = self.children()
            self.process.kill()
            self.process.wait()
            for pid in filter(is_alive, children):
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)
        if self._notify:
            self._notify.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- what can be seen of it

    @property
    def pid(self):
        return self.process.pid

    def children(self, name=None):
        """Process ids of its children, of those called @name when given."""
        try:
            pids = [int(p) for p in
                    Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []
        return [pid for pid in pids if name is None or process_name(pid) == name]

    def workers(self):
        return self.children("token-worker")

    def kill_workers(self, count=None):
        """SIGKILL to the workers, or the first @count of them, that are there at this moment."""
        for pid in self.workers()[:count]:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)

    def fd_count(self):
        return len(os.listdir(look_inside(self.pid, "fd")))

    def memory_kib(self, kind="VmRSS"):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(kind + r":\s+(\d+)", text).group(1))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_for_log(self, pattern, deadline=wire.DEADLINE):
        return poll_until(lambda: re.search(pattern, self.log()), deadline, f"log has {pattern!r}")

    def audit(self):
        """Lines of the audit file (configure `audit = file:` + str(agent.audit_file))."""
        return self.audit_file.read_text().splitlines() if self.audit_file.exists() else []

    # ---- as a client

    def connect(self, **kwargs):
        return Wire(self.socket, **kwargs)

    def status(self):
        with self.connect() as client:
            return client.status()

    def wait_for(self, predicate, deadline=wire.DEADLINE, what="status"):
        """Until predicate(Status) is true; returns the status."""
        def look():
            status = self.status()
            return status if predicate(status) else None
        return poll_until(look, deadline, what)

    def wait_keys(self, count=1, deadline=wire.DEADLINE):
        """Until @count keys can sign; returns them."""
        def look():
            with self.connect() as client:
                keys = [k for k in client.keys() if k.state == wire.KeyState.READY]
            return keys if len(keys) >= count else None
        return poll_until(look, deadline, lambda: f"{count} keys ready\n{self.log()}")


def look_inside(pid, name):
    """A path in /proc that the hardened processes keep from their own user, but not from root."""
    path = Path(f"/proc/{pid}/{name}")
    if path.exists() and not os.access(path, os.R_OK):
        raise unittest.SkipTest(f"needs root to read {path}")
    return path


def process_name(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def is_alive(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


class IntegrationTest(unittest.TestCase):
    """token() and agent() belong to one test, class_token() and class_agent() to the class."""

    def token(self, **kwargs):
        token = TokenDir(**kwargs)
        self.addCleanup(token.remove)
        return token

    def agent(self, config="", start=True, **kwargs):
        agent = Agent(config, **kwargs)
        self.addCleanup(agent.end)
        return agent.start() if start else agent

    @classmethod
    def class_token(cls, **kwargs):
        token = TokenDir(**kwargs)
        cls.addClassCleanup(token.remove)
        return token

    @classmethod
    def class_agent(cls, config="", **kwargs):
        agent = Agent(config, **kwargs)
        cls.addClassCleanup(agent.end)
        return agent.start()

    def connect(self, agent, **kwargs):
        client = agent.connect(**kwargs)
        self.addCleanup(client.close)
        return client

    def start_process(self, *args, **kwargs):
        """A helper process of the test itself."""
        process = subprocess.Popen(list(map(os.fspath, args)), **kwargs)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.addCleanup(end)
        return process

    def mtls_on_terminal(self, agent, *args, typed):
        """mtls on a terminal of its own: a line of @typed at each question that it asks; (exit code,
        what was shown)."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["MTLS_AGENT_SOCK"] = str(agent.socket)
            os.execv(MTLS_BIN, [MTLS_BIN, *args])
        shown, end = b"", time.monotonic() + wire.DEADLINE
        try:
            for line in typed:
                part = b""
                while not part.endswith(b": "):
                    self.assertLess(time.monotonic(), end, shown + part)
                    part += os.read(terminal, 4096)
                shown += part
                os.write(terminal, line.encode() + b"\n")
            while True:
                shown += os.read(terminal, 4096)
        except OSError:  # the terminal is closed at the end of the program
            pass
        finally:
            os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    def assert_signs(self, client, key, scheme=wire.ECDSA_SHA256, kind=Kind.TLS13, content=None):
        """A signature is made, and it is the key's over just this content."""
        content = content or tls_messages.certificate_verify()
        signature = client.sign(key.hash, scheme, kind, content)
        self.assertTrue(tls_messages.is_signature(key.spki, scheme, content, signature),
                        "the signature does not verify")

    def assert_signs_again(self, agent, key, since, seconds):
        """A fault is over @since: a request within @seconds is served, those before it are told why."""
        def attempt():
            with agent.connect() as client:
                try:
                    self.assert_signs(client, key)
                    return True
                except Refused as refusal:
                    self.assertIn(refusal.code, (Code.BUSY, Code.TOKEN_GONE), refusal.text)
                    return False
        poll_until(attempt, seconds, lambda: f"a signature\n{agent.log()}")
        self.assertLess(time.monotonic() - since, seconds)

    def assert_refused(self, code, call, *args, **kwargs):
        """The call gets an ERROR of this code, with a sentence for a person."""
        with self.assertRaises(Refused) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.code, code, caught.exception.text)
        self.assertTrue(caught.exception.text.strip(), "a refusal without a text")
        return caught.exception

    def assert_serves(self, agent):
        """The agent is alive and answers a new client."""
        self.assertIsNone(agent.process.poll(), f"the agent ended:\n{agent.log()}")
        self.assertEqual(agent.status().pid, agent.pid)


class ServedTest(IntegrationTest):
    """One token and one agent for all tests of the class, which must survive every one of them."""

    KEYS = {"work": "EC:prime256v1"}
    SECTIONS = ""      # added to the configuration
    MODULE_OPTIONS = {}
    AGENT_OPTIONS = {}

    @classmethod
    def setUpClass(cls):
        cls.the_token = cls.class_token()
        for label, kind in cls.KEYS.items():
            cls.the_token.key(label, kind)
        cls.the_agent = cls.class_agent(cls.the_token.config(**cls.MODULE_OPTIONS) + cls.SECTIONS,
                                        **cls.AGENT_OPTIONS)
        cls.the_agent.wait_keys(len(cls.KEYS))
        # ask-pin ends by itself when it has written the ledger; descriptors are counted here
        poll_until(lambda: not cls.the_agent.children("ask-pin"), what="ask-pin ended")

    @classmethod
    def tearDownClass(cls):
        cls.the_agent.stop()

    def tearDown(self):
        self.assert_serves(self.the_agent)

    def key(self, label="work"):
        return self.the_token.keys[label]

    def client(self, **kwargs):
        return self.connect(self.the_agent, **kwargs)


def main():
    unittest.main(verbosity=2)
