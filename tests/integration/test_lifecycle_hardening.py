# SPDX-License-Identifier: Apache-2.0
"""Core and worker against their own user: no core dump, no look inside, no new rights."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import harness
from harness import AGENT_BIN, IntegrationTest, OTHER_UID, needs_root

# As the same user: every way into a process that the kernel offers. Prints those that worked.
_PROBE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_DETACH = 16, 0x4206, 17
for pid in map(int, sys.argv[1:]):
    for name in ("mem", "environ", "maps", "auxv", "stack", "io"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                if name == "mem":
                    file.seek(0x1000)
                file.read(1)
            print(pid, name)
        except OSError as error:
            if name == "mem" and error.errno == 5:
                print(pid, name)
    for name in ("fd", "map_files", "task"):
        try:
            for entry in os.listdir(f"/proc/{pid}/{name}"):
                if name != "task":
                    print(pid, name)
        except OSError:
            pass
    for name in ("exe", "cwd", "root"):
        try:
            os.readlink(f"/proc/{pid}/{name}")
            print(pid, name)
        except OSError:
            pass
    for request in (PTRACE_ATTACH, PTRACE_SEIZE):
        if libc.ptrace(request, pid, None, None) == 0:
            print(pid, "ptrace")
            os.waitpid(pid, 0) if request == PTRACE_ATTACH else None
            libc.ptrace(PTRACE_DETACH, pid, None, None)
    buffer = ctypes.create_string_buffer(8)
    iovec = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_void_p * 2)(0x1000, 8)
    if libc.process_vm_readv(pid, iovec, 1, remote, 1, 0) >= 0 or ctypes.get_errno() == 14:
        print(pid, "process_vm_readv")
    pidfd = os.pidfd_open(pid)
    if libc.syscall(438, pidfd, 0, 0) >= 0:
        print(pid, "pidfd_getfd")
"""


def is_dumpable_build():
    """A build for sanitizers and debuggers says so itself."""
    done = subprocess.run([AGENT_BIN, "--version"], capture_output=True, text=True, check=False)
    return "dumpable" in done.stdout


@harness.unittest.skipIf(is_dumpable_build(), "built with -Ddumpable=true")
class TestHardening(IntegrationTest):
    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work")

    def start(self, **kwargs):
        agent = self.agent(self.the_token.config(), **kwargs)
        workers = harness.poll_until(agent.workers, what="workers")
        return agent, [agent.pid, *workers]

    def probe(self, pids):
        """What a process of the same user could do to each of @pids."""
        done = subprocess.run(
            ["setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups", "--",
             sys.executable, "-I", "-c", _PROBE, *map(str, pids)],
            capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    @needs_root
    def test_own_user_cannot_look_into_core_and_worker(self):
        self.the_token.give_to(OTHER_UID)
        agent, pids = self.start(uid=OTHER_UID)
        self.assertEqual(self.probe(pids), [])
        self.assertIsNone(agent.process.poll())

    @needs_root
    def test_the_probe_itself_works(self):
        """On a process without the protection it finds its ways in."""
        plain = self.start_process("setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}",
                                   "--clear-groups", "--", "sleep", "60")
        harness.poll_until(lambda: harness.process_name(plain.pid) == "sleep", what="sleep runs")
        found = self.probe([plain.pid])
        self.assertIn(f"{plain.pid} environ", found)
        self.assertIn(f"{plain.pid} fd", found)

    @needs_root
    def test_own_user_cannot_look_into_them_with_socket_activation_either(self):
        self.the_token.give_to(OTHER_UID)
        sock = harness.socket.socket(harness.socket.AF_UNIX)
        self.addCleanup(sock.close)
        directory = self.agent(start=False).run_dir
        sock.bind(str(directory / "agent.sock"))
        sock.listen()
        activate = ("import os,sys; fd = int(sys.argv[1]); os.dup2(fd, 3); "
                    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
                    "os.execvp(sys.argv[2], sys.argv[2:])")
        _, pids = self.start(uid=OTHER_UID, socket_path="", pass_fds=[sock.fileno()],
                             wrap=[sys.executable, "-c", activate, str(sock.fileno())])
        self.assertEqual(self.probe(pids), [])

    def asking(self, **kwargs):
        """An ask-pin that waits for its command."""
        agent = self.agent(self.the_token.config(pin="command:exec sleep 60"), **kwargs)
        return harness.poll_until(lambda: agent.children("ask-pin"), what="ask-pin runs")

    def harden_is_over(self, pid):
        return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()

    @needs_root
    def test_own_user_cannot_look_into_a_pin_source_that_is_asked(self):
        self.the_token.give_to(OTHER_UID)
        pids = self.asking(uid=OTHER_UID)
        harness.poll_until(lambda: all(map(self.harden_is_over, pids)), what="ask-pin is hardened")
        self.assertEqual(self.probe(pids), [])

    def test_limits_of_a_pin_source_that_is_asked(self):
        for pid in self.asking():
            harness.poll_until(lambda p=pid: self.harden_is_over(p), what="no new rights")
            self.assertRegex(Path(f"/proc/{pid}/limits").read_text(),
                             r"Max core file size\s+0\s+0\s")

    def test_no_core_is_written(self):
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        agent, _ = self.start()
        agent.process.send_signal(signal.SIGSEGV)
        _, status = os.waitpid(agent.pid, 0)
        agent.process.returncode = -signal.SIGSEGV
        self.assertTrue(os.WIFSIGNALED(status))
        self.assertFalse(os.WCOREDUMP(status))

    def test_worker_that_is_made_to_crash_is_replaced(self):
        agent, pids = self.start()
        agent.wait_keys()
        os.kill(pids[1], signal.SIGSEGV)
        harness.poll_until(lambda: pids[1] not in agent.workers(), what="worker gone")
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, self.key)

    def test_limits_and_rights(self):
        _, pids = self.start()
        for pid in pids:
            with self.subTest(process=harness.process_name(pid)):
                limits = Path(f"/proc/{pid}/limits").read_text()
                self.assertRegex(limits, r"Max core file size\s+0\s+0\s")
                self.assertRegex(Path(f"/proc/{pid}/status").read_text(), r"NoNewPrivs:\s+1\b")

    def test_pin_is_in_no_argument_environment_or_log(self):
        token = self.token(label="other", pin="secret-55d1e0")
        token.key("work")
        agent = self.agent(token.config())
        agent.wait_keys()
        for pid in (agent.pid, *agent.workers()):
            for name in ("cmdline", "environ"):
                self.assertNotIn(token.pin.encode(), harness.look_inside(pid, name).read_bytes())
        self.assertNotIn(token.pin, agent.log())


if __name__ == "__main__":
    harness.main()
