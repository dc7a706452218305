# SPDX-License-Identifier: Apache-2.0
"""`mtls run` and `mtls env`: the environment, the files, signals, exit codes, cleaning up."""

import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import termios
import unittest
from pathlib import Path

import wire
from cli_harness import DEADLINE, FAILURE, NO_KEY, OK, CliTest
from harness import MTLS_BIN, OTHER_UID, needs_root, poll_until

VARIABLES = ("OPENSSL_CONF", "MTLS_CERT", "MTLS_KEY", "MTLS_AGENT_SOCK")

# Tells its process id, then what signals it got, one a line; TERM ends it with 5.
LISTENER = r"""
import os, signal
numbers = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1,
           signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
os.write(1, b"ready %d\n" % os.getpid())
while True:
    number = signal.Signals(signal.sigwait(numbers))
    os.write(1, number.name.encode() + b"\n")
    if number == signal.SIGTERM:
        os._exit(5)
"""


class WithKeys(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("work", "backup", "bare"):
            cls.pki.key(name)
        for name in ("work", "backup"):
            cls.pki.cert(name, f"/CN={name}")

    def run_sh(self, script, *options):
        return self.mtls("run", *options, "--", "sh", "-c", script)

    def left_behind(self):
        return os.listdir(self.runtime)


class TestRunEnvironment(WithKeys):
    def setUp(self):
        super().setUp()
        self.fake_agent("work")

    def test_variables_name_files_of_the_user_alone(self):
        done = self.run_sh("stat -c '%a %n' \"$(dirname \"$MTLS_KEY\")\" \"$OPENSSL_CONF\" "
                           '"$MTLS_CERT" "$MTLS_KEY"')
        lines = done.stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["700", "600", "600", "600"])
        for line in lines:
            self.assertTrue(line.split()[1].startswith(f"{self.runtime}/mtls-run-"), line)

    def test_the_certificate_is_leaf_and_chain(self):
        self.assertEqual(self.run_sh('cat "$MTLS_CERT"').stdout,
                         (self.pki.dir / "work.crt").read_text())

    def test_the_key_is_a_reference_by_hash(self):
        done = self.run_sh('sed 1d\\;\\$d "$MTLS_KEY" | base64 -d')
        self.assertIn("mtls-agent:sha256:", done.stdout)

    def test_the_socket_is_the_one_that_was_used(self):
        self.assertEqual(self.run_sh('printf %s "$MTLS_AGENT_SOCK"').stdout, str(self.socket))

    def test_everything_else_is_handed_on(self):
        self.env["SOMETHING"] = "else"
        done = self.run_sh('printf "%s %s" "$SOMETHING" "$HOME"')
        self.assertEqual(done.stdout, f"else {self.dir}")

    def test_our_own_variables_are_set_once(self):
        self.env |= {"MTLS_CERT": "old", "MTLS_KEY": "old"}
        names = [line.partition("=")[0] for line in self.run_sh("env").stdout.splitlines()]
        for name in VARIABLES:
            self.assertEqual(names.count(name), 1, name)

    def test_the_provider_is_named_by_its_file(self):
        self.assertIn(f'module = "{self.dir}/modules/mtls-agent.so"',
                      self.run_sh('cat "$OPENSSL_CONF"').stdout)

    def test_the_users_own_configuration_is_included(self):
        own = self.dir / "own $x.cnf"
        own.write_text("openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\n"
                       "system_default = tls\n[tls]\nMinProtocol = TLSv1.3\n")
        self.env["OPENSSL_CONF"] = str(own)
        text = self.run_sh('cat "$OPENSSL_CONF"').stdout
        self.assertIn(f'.include = "{own}"', text)
        self.assertIn("[init]\nproviders = ", text)

    def test_a_broken_configuration_is_named(self):
        own = self.dir / "own.cnf"
        own.write_text("[unclosed\n")
        self.env["OPENSSL_CONF"] = str(own)
        self.assertIn(str(own), self.fail_with(FAILURE, "run", "true"))
        self.assertEqual(self.left_behind(), [])

    def test_no_provider(self):
        shutil.rmtree(self.dir / "modules")
        self.assertIn("OPENSSL_MODULES", self.fail_with(FAILURE, "run", "true"))

    def test_without_runtime_directory_the_files_are_in_tmp(self):
        del self.env["XDG_RUNTIME_DIR"]
        path = self.run_sh('printf %s "$MTLS_KEY"').stdout
        self.assertTrue(path.startswith("/tmp/mtls-run-"), path)
        self.assertFalse(Path(path).parent.exists())

    def runs_in_tmp(self):
        path = self.run_sh('printf %s "$MTLS_KEY"').stdout
        self.assertTrue(path.startswith("/tmp/mtls-run-"), path)

    def test_a_runtime_directory_that_others_can_change_is_not_used(self):
        self.runtime.chmod(0o777)
        self.runs_in_tmp()

    @needs_root
    def test_a_runtime_directory_of_another_user_is_not_used(self):
        os.chown(self.runtime, OTHER_UID, OTHER_UID)
        self.runs_in_tmp()

    def test_a_relative_socket_becomes_absolute(self):
        self.env["MTLS_AGENT_SOCK"] = "agent.sock"
        done = self.mtls("run", "sh", "-c", 'printf %s "$MTLS_AGENT_SOCK"', cwd=self.dir)
        self.assertEqual(done.stdout, str(self.socket))

    def test_run_within_run(self):
        done = self.mtls("run", "--", MTLS_BIN, "run", "--", "sh", "-c", 'cat "$OPENSSL_CONF"')
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertNotIn("mtls-run", done.stdout)

    def test_no_descriptor_of_ours_reaches_the_child(self):
        done = self.mtls("run", "--", "ls", "/proc/self/fd")
        self.assertEqual(done.stdout.split(), ["0", "1", "2", "3"])


class TestRunKey(WithKeys):
    def test_the_only_key_with_a_certificate_needs_no_name(self):
        self.fake_agent("work", "bare")
        self.succeed("run", "true")

    def test_several_keys_are_listed(self):
        self.fake_agent("work", "backup", "bare")
        text = self.fail_with(NO_KEY, "run", "true")
        self.assertRegex(text, r"--key: work \(sha256:[0-9a-f]{8}, on fake\), backup \(sha256:")
        self.assertNotIn("bare", text)
        self.succeed("run", "-k", "backup", "true")
        self.succeed("run", "--key=work", "true")

    def test_no_key_at_all(self):
        self.fake_agent("bare")
        self.assertIn("mtls list", self.fail_with(NO_KEY, "run", "true"))

    def test_a_key_without_certificate(self):
        self.fake_agent("bare")
        self.assertIn("certificate = FILE", self.fail_with(FAILURE, "run", "--key", "bare", "true"))

    def test_a_locked_token_is_told(self):
        self.fake_agent("work", args=["--locked"])
        done = self.mtls("run", "true")
        self.assertEqual(done.returncode, OK)
        self.assertIn("mtls unlock", done.stderr)

    def test_an_absent_token_is_told(self):
        self.scripted_agent(keys=[wire.Key(
            name="work", hash=bytes(32), type=wire.KeyType.EC, bits=256,
            state=wire.KeyState.ABSENT, policy=1, always_authenticate=False, label="work",
            ck_id=b"", token_label="card", token_serial="1", module="opensc", spki=b"\x30\x00",
            schemes=[wire.ECDSA_SHA256], certs=[b"\x30\x00"])])
        done = self.mtls("run", "true")
        self.assertEqual(done.returncode, OK)
        self.assertIn("token card is not there", done.stderr)


class TestRunChild(WithKeys):
    def setUp(self):
        super().setUp()
        self.fake_agent("work")

    def test_exit_code_is_the_childs(self):
        for code in (0, 1, 7, 255):
            self.assertEqual(self.run_sh(f"exit {code}").returncode, code)
        self.assertEqual(self.left_behind(), [])

    def test_a_child_that_a_signal_ends(self):
        self.assertEqual(self.run_sh("kill -KILL $$").returncode, 128 + signal.SIGKILL)
        self.assertEqual(self.left_behind(), [])

    def test_a_command_that_is_not_there(self):
        self.assertIn("no-such-command: command not found",
                      self.fail_with(127, "run", "--", "no-such-command"))
        self.assertEqual(self.left_behind(), [])

    def test_a_command_that_cannot_be_executed(self):
        path = self.dir / "data"
        path.touch(0o644)
        self.fail_with(126, "run", "--", path)
        self.fail_with(126, "run", "--", self.dir)

    def test_options_of_the_command_are_its_own(self):
        self.assertEqual(self.mtls("run", "sh", "-c", "echo $#", "--key", "x", "--json").stdout,
                         "2\n")

    def test_stdin_is_the_childs(self):
        self.assertEqual(self.mtls("run", "--", "cat", input="through").stdout, "through")

    def listener(self, before="", **kwargs):
        process = self.start("run", "--", sys.executable, "-c", before + LISTENER, **kwargs)
        word, pid = process.stdout.readline().split()
        self.assertEqual(word, "ready")
        return process, int(pid)

    def test_signals_are_handed_on(self):
        process, _ = self.listener()
        for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
            process.send_signal(signal.Signals[name])
            self.assertEqual(process.stdout.readline(), name + "\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.readline(), "SIGTERM\n")
        self.assertEqual(process.wait(DEADLINE), 5)
        self.assertEqual(self.left_behind(), [])

    def interrupt(self, before=""):
        """Ctrl-C at the terminal of the command, then SIGUSR1 to it, then the end."""
        controller, terminal = os.openpty()
        self.addCleanup(os.close, controller)
        process, _ = self.listener(
            before, stdin=terminal, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0))
        os.close(terminal)
        os.write(controller, b"\x03")
        return process

    def test_an_interrupt_of_the_terminal_reaches_the_child(self):
        process = self.interrupt()
        self.assertEqual(process.stdout.readline(), "SIGINT\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 5)

    def test_an_interrupt_of_the_terminal_is_not_handed_on_again(self):
        """A child out of the terminal's foreground gets none, so what it got would be ours."""
        process = self.interrupt("import os; os.setpgid(0, 0)\n")
        poll_until(lambda: not self.pending(process.pid), what="the interrupt was taken")
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.stdout.readline(), "SIGUSR1\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 5)

    @staticmethod
    def pending(pid):
        text = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"ShdPnd:\s*(\w+)", text).group(1), 16)

    def test_the_child_has_the_signal_mask_we_started_with(self):
        done = self.mtls("run", "--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status",
                         preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK,
                                                                   [signal.SIGUSR2]))
        blocked = int(done.stdout.split()[1], 16)
        self.assertEqual(blocked, 1 << (signal.SIGUSR2 - 1))

    def test_ignored_signals_stay_ignored(self):
        def ignore():
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        done = self.mtls("run", "--", "grep", "SigIgn", "/proc/self/status", preexec_fn=ignore)
        ignored = int(done.stdout.split()[1], 16)
        for number in (signal.SIGALRM, signal.SIGHUP):
            self.assertTrue(ignored & 1 << (number - 1), number)

    def test_an_ignored_sigchld_does_not_lose_the_exit_code(self):
        done = self.mtls("run", "--", "sh", "-c", "exit 3",
                         preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(done.returncode, 3)

    def test_a_stopped_job_goes_on(self):
        terminal = self.terminal("run", "--", "sh", "-c", "echo begin; read line; echo got $line")
        terminal.wait_for("begin")
        terminal.type("\x1a")  # Ctrl-Z
        poll_until(lambda: terminal.state() == "T", what="stopped")
        os.killpg(terminal.pid, signal.SIGCONT)
        terminal.type("through\n")
        self.assertEqual(terminal.wait(), OK)
        self.assertIn("got through", terminal.text)


class TestEnv(WithKeys):
    def sh(self, script, env=None):
        """A shell in which `mtls` is the command under test."""
        done = subprocess.run(["sh", "-euc", f'mtls() {{ "{MTLS_BIN}" "$@"; }}\n{script}'],
                              env=env or self.env, capture_output=True, text=True, timeout=DEADLINE,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_a_shell_gets_what_run_gives(self):
        self.fake_agent("work")
        text = self.sh('eval "$(mtls env)"; cat "$MTLS_CERT"; stat -c "%a %n" "$MTLS_KEY" '
                       '"$(dirname "$MTLS_KEY")"; sh -c \'echo "$OPENSSL_CONF $MTLS_AGENT_SOCK"\'')
        self.assertIn((self.pki.dir / "work.crt").read_text(), text)
        self.assertRegex(text, rf"600 {self.runtime}/mtls-agent/env-[0-9a-f]{{16}}/key\.pem\n"
                               rf"700 {self.runtime}/mtls-agent/env-")
        self.assertIn(f"/openssl.cnf {self.socket}\n", text)

    def test_the_files_are_the_same_each_time(self):
        self.fake_agent("work")
        self.assertEqual(self.succeed("env"), self.succeed("env"))

    def test_each_key_has_files_of_its_own(self):
        self.fake_agent("work", "backup")
        self.assertNotEqual(self.succeed("env", "--key", "work"),
                            self.succeed("env", "--key", "backup"))

    def test_a_second_time_does_not_include_itself(self):
        self.fake_agent("work", "backup")
        own = self.dir / "own.cnf"
        own.touch()
        self.env["OPENSSL_CONF"] = str(own)
        text = self.sh('eval "$(mtls env --key work)"; eval "$(mtls env --key backup)"\n'
                       'eval "$(mtls env --key work)"; cat "$OPENSSL_CONF"')
        self.assertEqual(text.count(".include"), 1)
        self.assertIn(f'.include = "{own}"', text)

    def test_unset_takes_it_back(self):
        self.fake_agent("work")
        text = self.sh('before=$(env | sort)\neval "$(mtls env)"\neval "$(mtls env --unset)"\n'
                       'test "$before" = "$(env | sort)" && echo same')
        self.assertEqual(text, "same\n")

    def test_unset_gives_the_old_configuration_back(self):
        self.fake_agent("work")
        own = self.dir / "it's own.cnf"
        own.touch()
        self.env["OPENSSL_CONF"] = str(own)
        self.assertEqual(self.sh('eval "$(mtls env)"; eval "$(mtls env -u)"; echo "$OPENSSL_CONF"'),
                         f"{own}\n")

    def test_unset_needs_no_agent(self):
        self.assertEqual(self.succeed("env", "--unset"),
                         "unset MTLS_CERT MTLS_KEY\nunset OPENSSL_CONF\n")

    def test_a_path_with_quotes_is_one_word(self):
        self.fake_agent("work")
        runtime = self.dir / "it's; echo bad"
        runtime.mkdir(mode=0o700)
        self.env["XDG_RUNTIME_DIR"] = str(runtime)
        self.assertEqual(self.sh('eval "$(mtls env)"; dirname "$MTLS_KEY" | xargs -0 printf %s')
                         .rpartition("/env-")[0], f"{runtime}/mtls-agent")

    def test_a_directory_that_others_may_enter_is_not_used(self):
        self.fake_agent("work")
        (self.runtime / "mtls-agent").mkdir()
        (self.runtime / "mtls-agent").chmod(0o755)
        self.assertIn("0700", self.fail_with(FAILURE, "env"))

    def test_a_link_is_not_used(self):
        self.fake_agent("work")
        (self.dir / "target").mkdir(mode=0o700)
        (self.runtime / "mtls-agent").symlink_to(self.dir / "target")
        self.fail_with(FAILURE, "env")
        self.assertEqual(os.listdir(self.dir / "target"), [])

    def test_the_directory_of_the_agent_is_shared(self):
        self.fake_agent("work")
        (self.runtime / "mtls-agent").mkdir(mode=0o700)
        self.succeed("env")
        mode = (self.runtime / "mtls-agent").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o700)


if __name__ == "__main__":
    unittest.main(verbosity=2)
