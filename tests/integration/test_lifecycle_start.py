# SPDX-License-Identifier: Apache-2.0
"""How it is started: closed descriptors, root, and what of the environment reaches the workers."""

import contextlib
import os
import re
import tempfile

import harness
from harness import IntegrationTest, look_inside, needs_root, poll_until

# Everything that makes a loader, a library or a program do something else.
POISON = {
    "LD_PRELOAD": "/nowhere/preload.so", "LD_LIBRARY_PATH": "/nowhere", "LD_AUDIT": "",
    "LD_DEBUG_OUTPUT": "/nowhere/x", "GCONV_PATH": "/nowhere", "OPENSSL_CONF": "/nowhere/ssl.cnf",
    "OPENSSL_MODULES": "/nowhere", "OPENSSL_ENGINES": "/nowhere", "SOFTHSM2_CONF": "/nowhere/conf",
    "PKCS11SPY": "/nowhere/module.so", "MALLOC_PERTURB_": "1", "BASH_ENV": "/nowhere/env",
    "PYTHONPATH": "/nowhere",
    "NODE_OPTIONS": "x", "http_proxy": "http://nowhere", "SECRET_TOKEN": "hunter2",
}
NEVER = set(POISON) - {"SOFTHSM2_CONF"}
# Words about language and place, what modules are set up by, and what sanitizers need.
ALLOWED = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|XDG_\w+|MTLS_\w+|"
                     r"CREDENTIALS_DIRECTORY|DBUS_SESSION_BUS_ADDRESS|(WAYLAND_)?DISPLAY|GNUPGHOME|"
                     r"(SOFTHSM2|TPM2_PKCS11|TSS2|PKCS11|P11_KIT|OPENSC|(LIB)?PCSCLITE|YKCS11)_\w+|"
                     r"(ASAN|UBSAN|LSAN|TSAN)_OPTIONS")


def environment_of(pid):
    entries = look_inside(pid, "environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if entry)


def targets_of(pid):
    """What the descriptors of a process are."""
    found = set()
    for fd in look_inside(pid, "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we look
            found.add(os.readlink(fd))
    return found


def sockets_of(pid):
    """Inodes of the sockets that a process has open."""
    return {target for target in targets_of(pid) if target.startswith("socket:")}


class StartTest(IntegrationTest):
    def start(self, **kwargs):
        """An agent with one token, which must work in the end."""
        self.the_token = self.token()
        self.key = self.the_token.key("work")
        agent = self.agent(self.the_token.config(), **kwargs)
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, self.key)
        return agent


class TestStandardDescriptors(StartTest):
    def start_with_closed(self, redirections):
        return self.start(wrap=["sh", "-c", f'exec "$@" {redirections}', "sh"])

    def test_all_three_closed(self):
        agent = self.start_with_closed("<&- >&- 2>&-")
        for fd in range(3):
            self.assertEqual(os.readlink(look_inside(agent.pid, "fd") / str(fd)), "/dev/null")

    def test_each_of_them_closed(self):
        for fd, redirection in enumerate(("<&-", ">&-", "2>&-")):
            with self.subTest(fd=fd):
                agent = self.start_with_closed(redirection)
                self.assertEqual(os.readlink(look_inside(agent.pid, "fd") / str(fd)), "/dev/null")

    def test_no_socket_is_a_standard_descriptor_of_a_worker(self):
        agent = self.start_with_closed("<&- >&- 2>&-")
        for pid in agent.workers():
            for fd in range(3):
                self.assertNotIn("socket:", os.readlink(look_inside(pid, "fd") / str(fd)))

    def test_full_standard_error_does_not_stop_it(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(writer, False)
        try:
            while os.write(writer, bytes(65536)):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        agent = self.agent("[agent]\n", start=False, args=["--log-level", "debug"])
        agent.start(stderr=writer)
        os.close(writer)
        self.assert_serves(agent)


@needs_root
class TestRoot(IntegrationTest):
    def test_root_is_refused_without_its_option(self):
        agent = self.agent(start=False, allow_root=False).launch()
        self.assertEqual(agent.wait_exit(), 1)
        self.assertIn("--allow-root", agent.log())
        self.assertFalse(agent.socket.exists())

    def test_effective_root_is_refused_as_well(self):
        agent = self.agent(start=False, allow_root=False,
                           wrap=["setpriv", f"--ruid={harness.OTHER_UID}", "--"]).launch()
        self.assertEqual(agent.wait_exit(), 1)
        self.assertIn("--allow-root", agent.log())

    def test_other_users_need_no_option(self):
        agent = self.agent(uid=harness.OTHER_UID)
        self.assertIsNone(agent.process.poll())


class TestEnvironment(StartTest):
    def test_worker_gets_an_allow_list_only(self):
        agent = self.start(env=POISON)
        workers = agent.workers()
        self.assertTrue(workers)
        for pid in workers:
            environment = environment_of(pid)
            self.assertEqual([n for n in environment if not ALLOWED.fullmatch(n)], [])
            self.assertEqual(environment["SOFTHSM2_CONF"], str(self.the_token.conf))
            self.assertEqual(set(environment) & NEVER, set())

    def test_worker_does_not_talk_to_the_service_manager(self):
        agent = self.start(env={"WATCHDOG_USEC": "60000000"})
        for pid in agent.workers():
            names = set(environment_of(pid))
            self.assertFalse(names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})

    def test_worker_gets_what_the_module_section_says(self):
        self.the_token = self.token()
        self.the_token.key("work")
        agent = self.agent(self.the_token.config(environment=["EXTRA=a=b c", "LD_BIND_NOW=1"]))
        agent.wait_keys()
        for pid in agent.workers():
            environment = environment_of(pid)
            self.assertEqual((environment["EXTRA"], environment["LD_BIND_NOW"]), ("a=b c", "1"))

    def test_pin_command_does_not_talk_to_the_service_manager(self):
        self.the_token = self.token()
        self.the_token.key("work")
        seen = self.the_token.dir / "environment"
        command = self.the_token.dir / "pin-command"
        command.write_text(f"#!/bin/sh\nenv > {seen}\necho {self.the_token.pin}\n")
        command.chmod(0o755)
        agent = self.agent(self.the_token.config(pin=f"command:{command}"))
        agent.wait_keys()
        self.assertNotRegex(seen.read_text(), "NOTIFY_SOCKET|LISTEN_FDS")


class TestInheritedDescriptors(StartTest):
    def test_worker_inherits_no_socket_of_the_core(self):
        agent = self.start()
        client = self.connect(agent)
        client.status()
        os.kill(agent.workers()[0], harness.signal.SIGKILL)  # the next one starts beside a client
        agent.wait_keys()
        for pid in agent.workers():  # the core closes its copy of the worker's end after the start
            poll_until(lambda p=pid: not sockets_of(p) & sockets_of(agent.pid), 5,
                       "no socket in common")

    def test_worker_inherits_no_descriptor_that_the_core_was_started_with(self):
        with tempfile.NamedTemporaryFile(prefix="mtls-secret-") as secret:
            agent = self.start(pass_fds=[secret.fileno()])
            for pid in agent.workers():
                self.assertNotIn(secret.name, targets_of(pid))


if __name__ == "__main__":
    harness.main()
