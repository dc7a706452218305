# SPDX-License-Identifier: Apache-2.0
"""OpenSSH: keys of the agent in `ssh -I` and in an ssh-agent, against an sshd of the same user."""

import getpass
import os
import re
import subprocess
from pathlib import Path

from fixture import MODULE, ProgramsTest, find_program, free_port, listens, main, poll_until


class SshTest(ProgramsTest):
    NEEDS = ("ssh", "sshd")
    OFFERED = ("work", "rsa", "strict")  # its PKCS#11 side knows no Ed25519
    SSHD_RUN = Path("/run/sshd")  # root's sshd locks itself in there before anyone is known

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if os.geteuid() == 0 and not cls.SSHD_RUN.exists():
            cls.SSHD_RUN.mkdir(mode=0o755)
            cls.addClassCleanup(cls.SSHD_RUN.rmdir)
        cls.port = free_port()
        cls.dir = cls.home / "sshd"
        cls.dir.mkdir()
        cls.host_key = cls.dir / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.host_key],
                       check=True)
        (cls.home / ".ssh").mkdir(mode=0o700)
        cls.known_hosts = cls.dir / "known_hosts"
        cls.known_hosts.write_text(f"[127.0.0.1]:{cls.port} " +
                                   cls.host_key.with_suffix(".pub").read_text())
        cls.authorized = cls.dir / "authorized_keys"
        cls.authorized.write_text("".join(f'environment="WHO={label}" {cls.public_key(label)}\n'
                                          for label in cls.OFFERED))
        cls.serve()

    @classmethod
    def public_key(cls, label):
        return subprocess.run(["ssh-keygen", "-i", "-m", "PKCS8", "-f", cls.public_file(label)],
                              capture_output=True, text=True, check=True).stdout.strip()

    @classmethod
    def serve(cls):
        conf = cls.dir / "sshd_config"
        conf.write_text(f"""ListenAddress 127.0.0.1
            Port {cls.port}
            HostKey {cls.host_key}
            PidFile none
            AuthorizedKeysFile {cls.authorized}
            PermitUserEnvironment WHO
            PermitRootLogin yes
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            UsePAM no
            StrictModes no
            LogLevel VERBOSE
            """)
        with open(cls.dir / "log", "ab") as log:
            process = subprocess.Popen([find_program("sshd"), "-D", "-e", "-f", conf], stderr=log,
                                       stdin=subprocess.DEVNULL, stdout=log)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)
        poll_until(lambda: listens(cls.port) or process.poll() is not None, what="sshd")
        if process.poll() is not None:
            raise AssertionError(f"sshd ended:\n{cls.log()}")

    @classmethod
    def log(cls):
        return (cls.dir / "log").read_text()

    def ssh(self, *options, env=None):
        """Which key let us in, as the server tells."""
        return self.run_program(
            "ssh", "-F", "none", "-p", self.port, "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", *options,
            f"{getpass.getuser()}@127.0.0.1", "echo", "came in with $WHO", env=env)

    def only(self, label):
        """Options so that no other key of the module is offered."""
        public = self.home / f"{label}.pub"
        public.write_text(self.public_key(label) + "\n")
        return "-o", "IdentitiesOnly=yes", "-i", public

    def assert_came_in(self, done, label):
        self.assertIn(f"came in with {label}", done.stdout,
                      f"{done.stderr}\n{self.log()}\n{self.agent.log()}")


class TestKeygen(SshTest):
    def test_public_keys_of_the_module(self):
        done = self.assert_done(self.run_program("ssh-keygen", "-D", MODULE))
        listed = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
        for label in self.OFFERED:
            self.assertIn(tuple(self.public_key(label).split()[:2]), listed)


class TestSsh(SshTest):
    def test_some_key(self):
        done = self.ssh("-I", MODULE)
        self.assertRegex(done.stdout, "came in with (work|rsa)", done.stderr)

    def test_each_key(self):
        for label in ("work", "rsa"):
            with self.subTest(label), self.assert_signs(label, "ssh|ssh-pkcs11-helper"):
                self.assert_came_in(self.ssh("-I", MODULE, *self.only(label)), label)

    def test_a_key_that_signs_tls_alone(self):
        with self.assert_refused("strict"):
            done = self.ssh("-I", MODULE, *self.only("strict"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Permission denied", done.stderr)

    def test_without_a_key_the_server_refuses(self):
        self.assertIn("Permission denied", self.ssh().stderr)


class TestSshAgent(SshTest):
    def setUp(self):
        """An ssh-agent that may load the module; its own list has only /usr/lib."""
        self.agent_socket = self.home / "ssh-agent.sock"
        self.agent_socket.unlink(missing_ok=True)
        process = self.start_process("ssh-agent", "-D", "-a", self.agent_socket, "-P", MODULE,
                                     env=self.environment(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL)
        poll_until(lambda: self.agent_socket.exists() or process.poll() is not None,
                   what="ssh-agent")

    def with_agent(self, *args):
        """ssh-add asks for a PIN whether or not the token wants one."""
        ask = self.home / "ask"
        ask.write_text("#!/bin/sh\necho anything\n")
        ask.chmod(0o755)
        return self.run_program(*args, env={"SSH_AUTH_SOCK": str(self.agent_socket),
                                            "SSH_ASKPASS": str(ask),
                                            "SSH_ASKPASS_REQUIRE": "force"})

    def test_add_use_and_remove(self):
        self.assert_done(self.with_agent("ssh-add", "-s", MODULE))
        listed = self.assert_done(self.with_agent("ssh-add", "-L")).stdout
        for label in ("work", "rsa"):
            self.assertIn(self.public_key(label).split()[1], listed)
        for label in ("work", "rsa"):
            with self.subTest(label), self.assert_signs(label, "ssh-pkcs11-helper"):
                done = self.ssh(*self.only(label), env={"SSH_AUTH_SOCK": str(self.agent_socket)})
                self.assert_came_in(done, label)
        self.assert_done(self.with_agent("ssh-add", "-e", MODULE))
        self.assertRegex(self.with_agent("ssh-add", "-L").stdout, "no identities")

    def test_added_twice(self):
        """Removed and added again: the module is finalized and starts anew."""
        for _ in range(2):
            self.assert_done(self.with_agent("ssh-add", "-s", MODULE))
            done = self.ssh(*self.only("work"), env={"SSH_AUTH_SOCK": str(self.agent_socket)})
            self.assert_came_in(done, "work")
            self.assert_done(self.with_agent("ssh-add", "-e", MODULE))

    def test_identities_have_the_names_of_the_keys(self):
        self.assert_done(self.with_agent("ssh-add", "-s", MODULE))
        names = re.findall(r"^\d+ \S+ (.*) \(\w+\)$", self.with_agent("ssh-add", "-l").stdout, re.M)
        self.assertTrue({"work", "rsa"} <= {Path(name).name for name in names}, names)


if __name__ == "__main__":
    main()
