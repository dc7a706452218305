# SPDX-License-Identifier: Apache-2.0
"""--check-config: every kind of mistake is named with file and line, and nothing unknown passes."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import harness
from harness import (AGENT_BIN, CA, IN_USER_NAMESPACE, IntegrationTest, MODULE, OTHER_UID,
                     needs_mounts, needs_root, needs_user_namespaces)
from softhsm import run

GOOD = f"""\
# a comment
[agent]
users = 1000, root
audit = off
; another
[module softhsm]
path = {MODULE}
workers = 2
timeout = 30s
verify = auto
init-args = one two
environment = SOFTHSM2_CONF=/nowhere
environment = SECOND=a=b
[token demo]
uri = pkcs11:token=demo
pin = ask
[key work]
uri = pkcs11:token=demo;object=work
sign = tls
"""

MODULE_SECTION = f"[module m]\npath = {MODULE}\n"


class ConfigCheckTest(IntegrationTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="mtls-config-")
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        self.file = self.dir / "agent.conf"

    def check(self, text=None, args=None, env=None):
        if text is not None:
            self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
            self.file.chmod(0o644)
        args = args if args is not None else ["--config", str(self.file)]
        return subprocess.run([AGENT_BIN, "--check-config", *args], capture_output=True, timeout=20,
                              text=True, errors="backslashreplace", check=False,
                              env={**os.environ, **(env or {})})

    def assert_good(self, text=None, **kwargs):
        done = self.check(text, **kwargs)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stderr)

    def assert_bad(self, text, line, mention=""):
        """Exit 1; exactly one problem, at @line, that mentions @mention; returns its text."""
        done = self.check(text)
        self.assertEqual(done.returncode, 1, f"taken: {text!r}")
        problems = done.stderr.splitlines()
        self.assertEqual(len(problems), 1, done.stderr)
        where = f"{self.file}:{line}: " if line else ""
        self.assertTrue(problems[0].startswith(where), problems[0])
        self.assertIn(mention, problems[0])
        self.assertNotRegex(problems[0], "[\x00-\x1f\x7f]")
        return problems[0]


class TestForm(ConfigCheckTest):
    def test_good_file(self):
        self.assert_good(GOOD)

    def test_empty_file(self):
        self.assert_good("")

    def test_missing_file(self):
        done = self.check(args=["--config", str(self.dir / "absent.conf")])
        self.assertEqual(done.returncode, 1)
        self.assertIn("absent.conf: No such file", done.stderr)

    def test_every_problem_is_told_in_one_run(self):
        done = self.check("[agent]\nfoo = 1\n[module m]\nworkers = 99\nbar = 2\n[what]\nx = 1\n")
        self.assertEqual(done.returncode, 1)
        lines = [int(n) for n in re.findall(r"agent\.conf:(\d+): ", done.stderr)]
        self.assertEqual(lines, [2, 4, 5, 6])

    def test_unknown_section(self):
        self.assert_bad("[agent]\naudit = off\n[agents]\naudit = off\nx = 1\n", 3, "agents")

    def test_unknown_section_without_a_key(self):
        self.assert_bad("[agent]\naudit = off\n[tunnel x]\n", 3, "tunnel")

    def test_section_without_its_name(self):
        self.assert_bad(f"[module]\npath = {MODULE}\n", 1, "module")
        self.assert_bad("[key ]\nuri = pkcs11:object=a\n", 1, "key")

    def test_section_with_a_name_that_takes_none(self):
        self.assert_bad("[agent x]\naudit = off\n", 1, "agent x")

    def test_unknown_key(self):
        self.assert_bad("[key work]\nuri = pkcs11:object=a\nservers = x\n", 3, "servers")

    def test_key_of_another_section(self):
        self.assert_bad("[agent]\nworkers = 2\n", 2, "workers")

    def test_keys_are_case_sensitive(self):
        self.assert_bad("[agent]\nAudit = off\n", 2, "Audit")

    def test_key_before_any_section(self):
        self.assert_bad("audit = off\n", 1)

    def test_repeated_key(self):
        self.assert_bad("[agent]\naudit = off\naudit = journal\n", 3, "audit")

    def test_repeated_key_in_a_section_that_is_opened_again(self):
        self.assert_bad("[agent]\naudit = off\n[agent]\naudit = journal\n", 4, "audit")

    def test_line_that_is_neither_section_nor_assignment(self):
        self.assert_bad("[agent]\nnonsense\n", 2)

    def test_unclosed_section(self):
        done = self.check("[agent\naudit = off\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.file}:1: ", done.stderr)

    def test_key_without_value(self):
        self.assert_bad("[agent]\naudit =\n", 2, "audit")

    def test_line_too_long(self):
        self.assert_bad(f"[key a]\nuri = pkcs11:object={'x' * 3000}\n", 2)

    def test_section_name_is_never_cut(self):
        """Two keys whose names differ late are two keys, or an error; never one."""
        first, second = "k" * 60 + "1", "k" * 60 + "2"
        text = f"[key {first}]\nuri = pkcs11:object=a\n[key {second}]\nuri = pkcs11:object=b\n"
        done = self.check(text)
        self.assertTrue(done.returncode == 0 or "long" in done.stderr, done.stderr)

    def test_indented_line_is_never_taken_for_more_of_the_value_above(self):
        self.assert_good(f"[module m]\n  path = {MODULE}\n  environment = A=B\n  workers = 2\n")
        self.assert_bad(f"[module m]\n  path = {MODULE}\n  environment = A=B\n  bogus = 2\n", 4,
                        "bogus")

    def test_nul_byte(self):
        self.assertEqual(self.check(b"[agent]\n\0audit = off\n").returncode, 1)
        self.assertEqual(self.check(b"[agent]\naudit = off\0x\n").returncode, 1)

    def test_text_that_is_no_utf8(self):
        """Names and paths are sent to clients as text."""
        self.assert_bad(b"[key caf\xe9]\nuri = pkcs11:object=a\n", 1, "UTF-8")
        self.assert_bad(b"[agent]\naudit = file:/\xff\n", 2, "UTF-8")
        self.assert_good(b"# caf\xe9\n" + GOOD.encode())

    def test_text_that_is_shown_is_escaped(self):
        self.assert_bad("[agent]\nau\x1bdit\x07 = off\n", 2)
        self.assert_bad("[a\x1bgent]\naudit = off\n", 1)

    def test_carriage_returns_at_line_ends(self):
        self.assert_good(GOOD.replace("\n", "\r\n"))

    def test_byte_order_mark(self):
        self.assert_good("\ufeff" + GOOD)

    def test_last_line_without_its_end(self):
        self.assert_good(GOOD.rstrip("\n"))

    def test_random_bytes_never_crash_it(self):
        for size in (1, 10, 100, 1000, 10000):
            done = self.check(os.urandom(size))
            self.assertIn(done.returncode, (0, 1))


class TestFiles(ConfigCheckTest):
    def test_directory_in_place_of_the_file(self):
        self.assertEqual(self.check(args=["--config", str(self.dir)]).returncode, 1)

    def test_fifo_in_place_of_the_file_does_not_block(self):
        os.mkfifo(self.file)
        self.assertEqual(self.check().returncode, 1)

    def test_file_that_everyone_can_write(self):
        self.file.write_text(GOOD)
        self.file.chmod(0o666)
        self.assertEqual(self.check().returncode, 1)

    def home(self, files):
        for name, text in files.items():
            path = self.dir / "mtls-agent" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return {"XDG_CONFIG_HOME": str(self.dir), "HOME": str(self.dir)}

    def test_no_file_at_all_is_fine(self):
        self.assert_good(args=[], env=self.home({}))

    def test_file_of_the_user_is_read(self):
        done = self.check(args=[], env=self.home({"agent.conf": "[agent]\nfoo = 1\n"}))
        self.assertEqual(done.returncode, 1)
        self.assertIn("mtls-agent/agent.conf:2: ", done.stderr)

    def test_home_is_used_without_xdg_config_home(self):
        env = self.home({"agent.conf": "[agent]\nfoo = 1\n"})
        (self.dir / ".config").symlink_to(".")
        done = self.check(args=[], env={**env, "XDG_CONFIG_HOME": ""})
        self.assertIn(".config/mtls-agent/agent.conf:2: ", done.stderr)

    def test_drop_ins_are_read_in_their_order_and_replace_values(self):
        self.assert_good(args=[], env=self.home({
            "agent.conf": "[agent]\naudit = off\n",
            "agent.conf.d/10.conf": "[agent]\naudit = journal\n",
            "agent.conf.d/.hidden.conf": "[bad]\nx = 1\n",
            "agent.conf.d/README": "not a configuration\n"}))
        done = self.check(args=[], env=self.home({"agent.conf.d/20.conf": "[agent]\nbad = 1\n"}))
        self.assertEqual(done.returncode, 1)
        self.assertIn("agent.conf.d/20.conf:2: ", done.stderr)

    def test_directory_of_drop_ins_that_everyone_can_write(self):
        env = self.home({"agent.conf.d/10.conf": ""})
        (self.dir / "mtls-agent" / "agent.conf.d").chmod(0o777)
        done = self.check(args=[], env=env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("agent.conf.d: can be changed by everyone", done.stderr)

    def test_directory_of_drop_ins_that_cannot_be_read(self):
        """What stands in it may be what forbids something."""
        env = self.home({"agent.conf": ""})
        (self.dir / "mtls-agent" / "agent.conf.d").symlink_to("agent.conf")
        done = self.check(args=[], env=env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("agent.conf.d: ", done.stderr)

    def test_fifo_as_drop_in_does_not_block(self):
        env = self.home({"agent.conf.d/10.conf": ""})
        os.mkfifo(self.dir / "mtls-agent" / "agent.conf.d" / "20.conf")
        self.assertEqual(self.check(args=[], env=env).returncode, 1)


class TestValues(ConfigCheckTest):
    def assert_bad_values(self, section, key, values, extra=""):
        for value in values:
            with self.subTest(key=key, value=value):
                self.assert_bad(f"[{section}]\n{key} = {value}\n{extra}", 2, key)

    def test_users(self):
        self.assert_bad_values("agent", "users", ("no-such-user", "-1", "4294967295", "1000x",
                                                  "99999999999999999999", "1000, no-such-user"))

    def test_user_that_stands_for_every_unmapped_one(self):
        self.assert_bad_values("agent", "users", ("65534",))

    def test_audit(self):
        self.assert_bad_values("agent", "notify", ("true", "Yes", "1"))
        self.assert_bad_values("agent", "audit", ("yes", "file:", "file:relative", "Journal"))

    def test_max_sessions(self):
        self.assert_bad_values("module m", "max-sessions", ("0", "65536", "-1", "auto", "many"),
                               f"path = {MODULE}\n")
        self.assert_good(f"[module m]\npath = {MODULE}\nmax-sessions = 1\n")

    def test_workers(self):
        self.assert_bad_values("module m", "workers", ("0", "17", "-1", "two", "1.5", "0x2", "1 2"),
                               f"path = {MODULE}\n")

    def test_timeout(self):
        self.assert_bad_values("module m", "timeout", ("30", "0s", "-1s", "1d", "s", "25h", "1e3s",
                                                       "99999999999999999999s", "infinity"),
                               f"path = {MODULE}\n")

    def test_release(self):
        self.assert_bad_values("module m", "release", ("30", "0s", "no", "Never", "25h"),
                               f"path = {MODULE}\n")

    def test_verify(self):
        self.assert_bad_values("module m", "verify", ("yes", "true", "Always"),
                               f"path = {MODULE}\n")

    def test_environment(self):
        self.assert_bad_values("module m", "environment", ("NAME", "=VALUE"), f"path = {MODULE}\n")

    def test_uri(self):
        for section in ("key k", "token t"):
            self.assert_bad_values(section, "uri", ("demo", "file:/x", "pkcs11:bogus=1",
                                                    "pkcs11:token=%zz", "pkcs11:token=a;token=b"))

    def test_uri_of_a_slot_or_a_library(self):
        """Nothing is compared with these: such a URI would fit every token."""
        for attribute in ("object=work", "id=%01", "type=private"):
            self.assert_bad(f"[token t]\nuri = pkcs11:{attribute}\n", 2, "a token has no id")
        for section in ("key k", "token t"):
            self.assert_bad_values(section, "uri", ("pkcs11:slot-id=0", "pkcs11:slot-description=a",
                                                    "pkcs11:library-version=2",
                                                    "pkcs11:object=a;library-description=b"))

    def test_pin_in_a_uri_is_refused_and_not_shown(self):
        for attribute in ("pin-value=7788", "pin-source=/tmp/7788"):
            text = self.assert_bad(f"[token t]\nuri = pkcs11:token=a?{attribute}\n", 2, "PIN")
            self.assertNotIn("7788", text)

    def test_bare_pin_is_refused_and_not_shown(self):
        text = self.assert_bad("[token t]\npin = 7788\nuri = pkcs11:token=a\n", 2, "pin")
        self.assertNotIn("7788", text)

    def test_pin(self):
        self.assert_bad_values("token t", "pin", ("file:", "file:relative", "command:",
                                                  "credential:", "credential:a/b", "Ask"),
                               "uri = pkcs11:token=a\n")

    def test_pin_cache(self):
        uri = "[token t]\nuri = pkcs11:token=a\n"
        self.assert_good(uri + "pin-cache = 8h\npin-cache-idle = 30min\n")
        self.assert_bad(uri + "pin-cache = for ever\n", 3, "not a time")
        self.assert_bad(uri + "pin-cache = 25h\n", 3, "not a time")
        self.assert_bad(uri + "pin-cache-idle = 30min\n", 1, "without pin-cache")
        self.assert_bad_values("key k", "pin-cache", ("8h", "true", "Yes"),
                               "uri = pkcs11:object=a\n")

    def test_pinentry(self):
        self.assert_good("[agent]\npinentry = /usr/bin/pinentry\n")
        self.assert_good("[agent]\npinentry = none\n")
        self.assert_bad_values("agent", "pinentry", ("pinentry", "./pinentry", "None"))

    def test_sign(self):
        self.assert_bad_values("key k", "sign", ("all", "TLS", "tls13", "tls, digest"),
                               "uri = pkcs11:object=a\n")

    def test_sections_that_lack_what_they_need(self):
        self.assert_bad("[module m]\nworkers = 1\n", None, "path")
        self.assert_bad("[token t]\npin = ask\n", None, "uri")
        self.assert_bad("[key k]\nsign = tls\n", None, "uri")

    def test_certificates(self):
        (self.dir / "text.pem").write_text("no certificate\n")
        (self.dir / "broken.pem").write_text(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        (self.dir / "good.pem").write_bytes(CA(self.dir).pem)
        self.assert_good(f"[key k]\nuri = pkcs11:object=a\ncertificate = {self.dir}/good.pem\n"
                         f"chain = {self.dir}/good.pem\n")
        self.assert_bad_values("key k", "certificate",
                               [f"{self.dir}/{n}" for n in ("absent.pem", "text.pem", "broken.pem",
                                                            ".")], "uri = pkcs11:object=a\n")
        self.assert_bad_values("key k", "chain", [f"{self.dir}/absent.pem"],
                               "uri = pkcs11:object=a\n")

    def test_certificate_with_a_relative_path(self):
        self.assert_bad("[key k]\nuri = pkcs11:object=a\nchain = ca.pem\n", 3, "absolute")

    def big_certificate(self, name, size):
        """A certificate of some more than @size bytes, which are in its extensions."""
        file = self.dir / name
        run("openssl", "req", "-x509", "-new", "-key", CA(self.dir).key, "-subj", "/CN=big",
            "-addext", "nsComment=" + "x" * size, "-out", file)
        return file

    def test_certificate_that_fits_no_message(self):
        file = self.big_certificate("big.pem", 66000)
        self.assert_bad(f"[key k]\nuri = pkcs11:object=a\ncertificate = {file}\n", 3, "65536")

    def test_certificates_that_together_fit_no_message(self):
        file = self.big_certificate("large.pem", 60000)
        text = "".join(f"[key {n}]\nuri = pkcs11:object={n}\ncertificate = {file}\n"
                       for n in range(4))
        self.assert_bad(text, 10, "certificate")

    def test_certificate_that_is_a_fifo_does_not_block(self):
        os.mkfifo(self.dir / "fifo")
        self.assert_bad(f"[key k]\nuri = pkcs11:object=a\nchain = {self.dir}/fifo\n", 3, "chain")


class TestModulePath(ConfigCheckTest):
    def assert_bad_path(self, path, mention=""):
        return self.assert_bad(f"[module m]\npath = {path}\n", 2, mention or "path")

    def copy(self, mode):
        path = self.dir / f"module-{mode:o}.so"
        path.write_bytes(Path(MODULE).read_bytes())
        path.chmod(mode)
        return path

    def test_missing(self):
        self.assert_bad_path(self.dir / "absent.so", "absent.so")

    def test_relative(self):
        self.assert_bad_path("libsofthsm2.so", "absolute")

    def test_directory(self):
        self.assert_bad_path(self.dir)

    def test_device_and_fifo(self):
        os.mkfifo(self.dir / "fifo")
        self.assert_bad_path("/dev/null")
        self.assert_bad_path(self.dir / "fifo")

    def test_writable_by_others(self):
        for mode in (0o666, 0o775, 0o757):
            self.assert_bad_path(self.copy(mode), "chmod")
        self.assert_good(f"[module m]\npath = {self.copy(0o755)}\n")

    def test_link_to_a_file_that_others_can_write(self):
        (self.dir / "link.so").symlink_to(self.copy(0o666))
        self.assert_bad_path(self.dir / "link.so", "chmod")

    @needs_root
    def test_owned_by_another_user(self):
        path = self.copy(0o644)
        os.chown(path, OTHER_UID, OTHER_UID)
        self.assert_bad_path(path, "another user")

    @needs_mounts
    def test_owned_by_a_user_who_owns_the_root_directory(self):
        """As in an unpacked container image; who owns `/` there is not root for it."""
        path = self.copy(0o644)
        os.chown(path, OTHER_UID, OTHER_UID)
        root = self.dir / "root"
        root.mkdir()
        os.chown(root, OTHER_UID, OTHER_UID)
        binds = {"usr", "etc", "proc", "tmp", "dev", Path(AGENT_BIN).resolve().parts[1]}
        script = ('cd "$0" || exit 9\n'
                  f"for d in {' '.join(binds)}; do mkdir $d && mount --rbind /$d $d || exit 9; done\n"
                  "for d in bin lib lib64; do ln -s usr/$d $d || exit 9; done\n"
                  'exec chroot . "$@"\n')
        self.file.write_text(f"[module m]\npath = {path}\n")
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, root, AGENT_BIN,
                               "--check-config", "--config", self.file], capture_output=True,
                              timeout=20, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("another user", done.stderr)

    @needs_user_namespaces
    def test_owned_by_root_where_root_has_no_number(self):
        """In a user namespace without root (PrivateUsers= of a user unit) its files still load."""
        self.dir.chmod(0o755)
        self.file.write_text(MODULE_SECTION)
        done = subprocess.run([*IN_USER_NAMESPACE, AGENT_BIN, "--check-config", "--config",
                               self.file], capture_output=True, timeout=20, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class TestOptions(ConfigCheckTest):
    def agent(self, *args):
        return subprocess.run([AGENT_BIN, *args], capture_output=True, timeout=20, text=True,
                              check=False)

    def test_wrong_usage_exits_with_2(self):
        for args in (["--bogus"], ["--config"], ["extra"], ["--log-level", "loud"]):
            with self.subTest(args=args):
                done = self.agent(*args)
                self.assertEqual(done.returncode, 2)
                self.assertTrue(done.stderr)

    def test_version_and_help_go_to_standard_output(self):
        for option, text in (("--version", r"mtls-agent \d+\.\d+"), ("--help", "--check-config")):
            done = self.agent(option)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, text)

    def test_broken_configuration_refuses_to_start(self):
        agent = IntegrationTest.agent(self, "[agent]\nbogus = 1\n", start=False).launch()
        self.assertEqual(agent.wait_exit(), 1)
        self.assertIn(f"{agent.config_file}:2: ", agent.log())
        self.assertFalse(agent.socket.exists())


if __name__ == "__main__":
    harness.main()
