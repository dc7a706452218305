# SPDX-License-Identifier: Apache-2.0
"""`mtls setup`, what it does to files: made, left alone, replaced, taken back; and what it says."""

import fcntl
import json
import os
import shutil
import subprocess
import unittest

from cli_harness import CliTest, FAILURE, NO_AGENT, NO_KEY, OK, USAGE
from harness import PROVIDER_DIR, needs_no_sanitizer
from setup_harness import PKCS11_MODULE

MARK = "# made by mtls setup"
INTERNAL = "library=\nname=NSS Internal PKCS #11 Module\nNSS=Flags=internal,critical\n\n"


class WithFakeAgent(CliTest):
    """One key, `work`; the real provider and module over the fake agent."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.key("work")
        cls.pki.cert("work", "/CN=Alice")

    def setUp(self):
        super().setUp()
        self.home = self.dir / "home"
        self.home.mkdir(mode=0o700)
        self.env |= {"HOME": str(self.home), "MTLS_AGENT_PKCS11_MODULE": str(PKCS11_MODULE),
                     "OPENSSL_MODULES": PROVIDER_DIR}
        self.config = self.home / ".config/mtls-agent"
        self.fake_agent("work")

    def mtls(self, *args, **kwargs):
        """Without a terminal to ask at."""
        return super().mtls(*args, start_new_session=True, **kwargs)

    def files(self, root=None):
        """Every file below the home directory, with its mode and content."""
        root = root or self.home
        return {str(path.relative_to(root)): (path.lstat().st_mode & 0o777, path.read_text())
                for path in sorted(root.rglob("*")) if path.is_file()}

    def tearDown(self):
        self.assertEqual(os.listdir(self.runtime), [], "a scratch directory was left behind")


class TestCommand(WithFakeAgent):
    def test_unknown_program(self):
        self.assertIn("Did you mean: mtls setup openssl?", self.fail_with(USAGE, "setup", "opensl"))
        self.assertIn("mtls setup --help", self.fail_with(USAGE, "setup", "emacs"))

    def test_profile_is_for_browsers(self):
        self.fail_with(USAGE, "setup", "curl", "--profile", self.home)

    def test_no_such_key(self):
        self.fail_with(NO_KEY, "setup", "curl", "--key", "nope")

    def test_no_agent(self):
        self.env["MTLS_AGENT_SOCK"] = str(self.dir / "none")
        for program in ("curl", "browser", "ssh"):
            self.fail_with(NO_AGENT, "setup", program)

    def test_no_module(self):
        self.env["MTLS_AGENT_PKCS11_MODULE"] = "/nonexistent/module.so"
        for program in ("browser", "java", "ssh", "git", "gnutls"):
            self.assertIn("MTLS_AGENT_PKCS11_MODULE", self.fail_with(FAILURE, "setup", program))

    def test_no_home(self):
        del self.env["HOME"]
        self.assertIn("HOME", self.fail_with(FAILURE, "setup", "curl"))


class TestFiles(WithFakeAgent):
    @needs_no_sanitizer
    def test_without_write_nothing_is_made(self):
        for args in ([], ["--write", "--dry-run"]):
            text = self.succeed("setup", "curl", *args)
            self.assertIn(f"{self.config}/curl.conf, with --write:", text)
            self.assertRegex(text, r"(?m)^  ok +curl takes the certificate")
            self.assertEqual(self.files(), {})

    @needs_no_sanitizer
    def test_write(self):
        self.succeed("setup", "curl", "--write")
        files = self.files()
        self.assertEqual(set(files), {".config/mtls-agent/curl.conf"} |
                         {f".config/mtls-agent/curl/{name}" for name in
                          ("openssl.cnf", "cert.pem", "key.pem")})
        self.assertEqual({mode for mode, _ in files.values()}, {0o600})
        for directory in (self.home / ".config", self.config, self.config / "curl"):
            self.assertEqual(directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual(files[".config/mtls-agent/curl.conf"][1],
                         f'{MARK} curl\ncert = "{self.config}/curl/cert.pem"\n'
                         f'key = "{self.config}/curl/key.pem"\n')

    @needs_no_sanitizer
    def test_write_again_changes_nothing(self):
        self.succeed("setup", "nginx", "--write")
        before = self.files()
        self.succeed("setup", "nginx", "--write")
        self.assertEqual(self.files(), before)

    @needs_no_sanitizer
    def test_undo_leaves_nothing_of_it(self):
        for program in ("curl", "nginx", "python", "openssl"):
            self.succeed("setup", program, "--write")
        other = self.config / "curl/mine"
        other.write_text("mine")
        for program in ("curl", "nginx", "python", "openssl"):
            self.succeed("setup", program, "--undo")
        self.assertEqual(list(self.files()), [".config/mtls-agent/curl/mine"])
        self.assertEqual([path.name for path in self.config.iterdir()], ["curl"])

    def test_undo_of_nothing(self):
        for program in ("browser", "java", "ssh", "git", "curl", "nginx", "python", "openssl",
                        "gnutls"):
            self.assertIn("There is nothing to take back", self.succeed("setup", program, "--undo"))

    @needs_no_sanitizer
    def test_dry_run_of_undo(self):
        self.succeed("setup", "openssl", "--write")
        before = self.files()
        self.assertIn("would be removed", self.succeed("setup", "openssl", "--undo", "--dry-run"))
        self.assertEqual(self.files(), before)

    @needs_no_sanitizer
    def test_undo_needs_no_agent(self):
        self.succeed("setup", "openssl", "--write")
        self.env["MTLS_AGENT_SOCK"] = str(self.dir / "none")
        self.succeed("setup", "openssl", "--undo")
        self.assertEqual(self.files(), {})

    @needs_no_sanitizer
    def test_a_foreign_file_is_left_alone(self):
        self.config.mkdir(parents=True)
        mine = self.config / "curl.conf"
        mine.write_text("silent\n")
        self.assertIn(str(mine), self.fail_with(FAILURE, "setup", "curl", "--write"))
        self.assertEqual(mine.read_text(), "silent\n")
        self.assertIn("stays", self.succeed("setup", "curl", "--undo"))
        self.assertEqual(mine.read_text(), "silent\n")
        self.succeed("setup", "curl", "--write", "--yes")
        self.assertIn(MARK, mine.read_text())

    @needs_no_sanitizer
    def test_a_foreign_key_file_is_left_alone(self):
        (self.config / "openssl").mkdir(parents=True)
        mine = self.config / "openssl/key.pem"
        mine.write_text("a key\n")
        self.assertIn(str(mine), self.fail_with(FAILURE, "setup", "openssl", "--write"))
        self.assertEqual(mine.read_text(), "a key\n")

    @needs_no_sanitizer
    def test_a_link_is_not_followed(self):
        self.config.mkdir(parents=True)
        target = self.home / "target"
        target.write_text(f"{MARK} curl\n")
        (self.config / "curl.conf").symlink_to(target)
        self.fail_with(FAILURE, "setup", "curl", "--write")
        self.fail_with(FAILURE, "setup", "curl", "--write", "--yes")
        self.succeed("setup", "curl", "--undo")
        self.assertEqual(target.read_text(), f"{MARK} curl\n")

    @needs_no_sanitizer
    def test_a_question_at_the_terminal(self):
        self.config.mkdir(parents=True)
        mine = self.config / "curl.conf"
        for answer, expected in (("n", "silent\n"), ("", "silent\n"), ("y", f"{MARK} curl")):
            with self.subTest(answer=answer):
                mine.write_text("silent\n")
                terminal = self.terminal("setup", "curl", "--write")
                terminal.wait_for("Replace it? [y/N]")
                terminal.type(answer + "\n")
                self.assertEqual(terminal.wait(), OK if answer == "y" else FAILURE, terminal.text)
                self.assertTrue(mine.read_text().startswith(expected))

    @needs_no_sanitizer
    def test_paths_with_blanks_and_quotes(self):
        self.env["XDG_CONFIG_HOME"] = str(self.home / "my 'own' config")
        told = json.loads(self.succeed("setup", "openssl", "--write", "--json"))
        line = next(line for line in told["use"] if "s_client" in line)
        done = subprocess.run(["sh", "-c", line.replace("openssl s_client", "printf '%s\\n'")],
                              capture_output=True, text=True, check=True, timeout=60)
        self.assertIn(f"{self.home}/my 'own' config/mtls-agent/openssl/key.pem\n", done.stdout)

    def test_a_failed_check_is_a_failure(self):
        """The provider is a file that OpenSSL cannot load."""
        self.env["OPENSSL_MODULES"] = str(self.modules_dir())
        done = self.mtls("setup", "openssl")
        self.assertEqual(done.returncode, FAILURE)
        self.assertRegex(done.stdout, r"(?m)^  failed +openssl pkey with key.pem: ")
        self.assertIn("failed check", done.stderr)

    @needs_no_sanitizer
    def test_a_program_that_is_missing_is_said(self):
        tools = self.dir / "bin"
        tools.mkdir()
        self.env["PATH"] = str(tools)
        text = self.succeed("setup", "curl", "--write")
        self.assertRegex(text, r"(?m)^  not tried +curl is not installed \(Debian's package: curl\)")

    @needs_no_sanitizer
    def test_json(self):
        told = json.loads(self.succeed("setup", "curl", "--json"))
        self.assertEqual((told["program"], told["key"]), ("curl", "work"))
        self.assertEqual(told["hash"][:7], "sha256:")
        self.assertEqual([check["result"] for check in told["checks"]], ["ok"])
        self.assertIn("cert = ", told["files"][-1]["content"])
        self.assertIn("curl -K", told["use"][0])


@unittest.skipUnless(shutil.which("ssh-keygen"), "no OpenSSH")
@needs_no_sanitizer
class TestSsh(WithFakeAgent):
    def setUp(self):
        super().setUp()
        self.ssh = self.home / ".ssh/config"
        self.include = f'{MARK} ssh\nInclude "{self.config}/ssh/config"\n'

    def test_what_is_no_text_is_left_alone(self):
        self.ssh.parent.mkdir(mode=0o700)
        before = b"Host a\n Port 1\n\0Host b\n"
        self.ssh.write_bytes(before)
        self.fail_with(FAILURE, "setup", "ssh", "--write", "--yes")
        self.assertEqual(self.ssh.read_bytes(), before)

    def test_a_path_that_no_file_can_have(self):
        for name in ('a"b', "a$b", "a\nb"):
            with self.subTest(name):
                self.env["XDG_CONFIG_HOME"] = str(self.home / name)
                self.fail_with(FAILURE, "setup", "ssh", "--write", "--yes")
                self.assertFalse((self.home / name).exists())

    def test_the_line_is_first_and_goes_again(self):
        self.ssh.parent.mkdir(mode=0o700)
        mine = "Host a\n  User b\n"
        self.ssh.write_text(mine)
        self.ssh.chmod(0o640)
        self.setup_with_line()
        self.assertEqual(self.ssh.read_text(), self.include + mine)
        self.assertEqual(self.ssh.stat().st_mode & 0o777, 0o640)
        self.setup_with_line()
        self.assertEqual(self.ssh.read_text(), self.include + mine)
        self.succeed("setup", "ssh", "--undo")
        self.assertEqual(self.ssh.read_text(), mine)

    def setup_with_line(self):
        """Every question is answered but the one about digests, for which this agent is none."""
        terminal = self.terminal("setup", "ssh", "--write")
        terminal.wait_for("Allow that for key work alone?")
        terminal.type("n\n")
        if self.include not in (self.ssh.read_text() if self.ssh.exists() else ""):
            terminal.wait_for("Add one line")
            terminal.type("y\n")
        self.assertEqual(terminal.wait(), OK, terminal.text)

    def test_a_file_of_ours_alone_goes_as_a_whole(self):
        self.setup_with_line()
        self.assertEqual(self.files()[".ssh/config"], (0o600, self.include))
        self.succeed("setup", "ssh", "--undo")
        self.assertEqual(self.files(), {})

    def test_without_a_yes_the_line_is_shown(self):
        text = self.succeed("setup", "ssh", "--write")
        self.assertIn(f'Include "{self.config}/ssh/config"  # at the top of {self.ssh}', text)
        self.assertFalse(self.ssh.exists())

    def test_ssh_takes_the_file(self):
        self.setup_with_line()
        done = subprocess.run(["ssh", "-G", "-F", self.ssh, "host.example"], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertIn(f"pkcs11provider {PKCS11_MODULE}\n", done.stdout, done.stderr)


@unittest.skipUnless(shutil.which("git"), "no git")
@needs_no_sanitizer
class TestGit(WithFakeAgent):
    def git(self, *args):
        return subprocess.run(["git", "config", "--global", *args], env=self.env, text=True,
                              capture_output=True, timeout=60, check=False).stdout

    def test_included_once_and_taken_back(self):
        (self.home / ".gitconfig").write_text("[user]\n\tname = a\n")
        for _ in range(2):
            self.succeed("setup", "git", "--write")
        self.assertEqual(self.git("--get-all", "include.path"), f"{self.config}/git/config\n")
        self.assertIn("object=work;type=private", self.git("--includes", "--get", "http.sslKey"))
        self.succeed("setup", "git", "--undo")
        self.assertEqual(self.git("--get-all", "include.path"), "")
        self.assertEqual(self.git("--get", "user.name"), "a\n")

    def test_the_users_own_certificate_is_not_hidden(self):
        self.git("http.sslCert", "/mine.pem")
        self.assertIn("/mine.pem", self.fail_with(FAILURE, "setup", "git", "--write"))
        self.assertEqual(self.git("--includes", "--get", "http.sslCert"), "/mine.pem\n")


class TestBrowser(WithFakeAgent):
    def profile(self, path, text=INTERNAL):
        directory = self.home / path
        directory.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (directory / "pkcs11.txt").write_text(text)
        return directory

    def firefox(self, *names, place=".mozilla/firefox"):
        root = self.home / place
        root.mkdir(parents=True)
        (root / "profiles.ini").write_text("".join(
            f"[Profile{i}]\nName={name}\nIsRelative=1\nPath={name}\n\n"
            for i, name in enumerate(names)))
        return [self.profile(f"{place}/{name}") for name in names]

    @property
    def block(self):
        return f"library={PKCS11_MODULE}\nname=mtls-agent\n\n"

    def test_every_profile(self):
        profiles = self.firefox("one", "two")
        (self.home / ".config/chromium").mkdir(parents=True)
        self.succeed("setup", "browser")
        for profile in profiles:
            self.assertEqual((profile / "pkcs11.txt").read_text(), INTERNAL + self.block)
        database = self.home / ".pki/nssdb"
        self.assertEqual((database / "pkcs11.txt").read_text(), self.block)
        self.assertEqual(database.stat().st_mode & 0o777, 0o700)

    def test_again_and_back(self):
        profile, = self.firefox("one")
        (profile / "pkcs11.txt").chmod(0o640)
        (self.home / ".config/chromium").mkdir(parents=True)
        before = self.files()
        self.succeed("setup", "browser")
        once = self.files()
        self.assertIn("there already", self.succeed("setup", "browser"))
        self.assertEqual(self.files(), once)
        self.succeed("setup", "browser", "--undo")
        self.assertEqual(self.files(), before)

    def test_dry_run(self):
        self.firefox("one")
        before = self.files()
        self.assertIn("would be added", self.succeed("setup", "browser", "--dry-run"))
        self.assertEqual(self.files(), before)

    def test_another_installation_is_replaced(self):
        profile, = self.firefox("one")
        (profile / "pkcs11.txt").write_text(
            "library=/old/mtls-agent-pkcs11.so\nname=mtls-agent\n\n" + INTERNAL)
        self.succeed("setup", "browser")
        self.assertEqual((profile / "pkcs11.txt").read_text(), self.block + INTERNAL)

    def test_one_profile_alone(self):
        one, two = self.firefox("one", "two")
        self.succeed("setup", "browser", "--profile", two)
        self.assertEqual((one / "pkcs11.txt").read_text(), INTERNAL)
        self.assertEqual((two / "pkcs11.txt").read_text(), INTERNAL + self.block)

    def test_a_directory_that_is_no_profile(self):
        self.assertIn(str(self.home), self.fail_with(FAILURE, "setup", "browser", "--profile",
                                                     self.home))
        self.assertEqual(self.files(), {})

    def test_no_browser(self):
        self.assertIn("--profile", self.fail_with(FAILURE, "setup", "browser"))

    def test_sandboxed_browsers_are_left_alone(self):
        self.firefox("one")
        snap, = self.firefox("s", place="snap/firefox/common/.mozilla/firefox")
        flatpak, = self.firefox("f", place=".var/app/org.mozilla.firefox/.mozilla/firefox")
        text = self.succeed("setup", "browser")
        for profile in (snap, flatpak):
            self.assertIn(f"{profile} was left alone", text)
            self.assertEqual((profile / "pkcs11.txt").read_text(), INTERNAL)

    def test_a_running_firefox_is_said(self):
        profile, = self.firefox("one")
        with open(profile / ".parentlock", "w", encoding="ascii") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            self.assertIn(f"Firefox runs with {profile}", self.succeed("setup", "browser"))
        self.assertNotIn("runs with", self.succeed("setup", "browser", "--undo"))

    def test_a_running_chromium_is_said(self):
        data = self.home / ".config/chromium"
        data.mkdir(parents=True)
        (data / "SingletonLock").symlink_to(f"host-{os.getpid()}")
        self.assertIn("Chromium runs", self.succeed("setup", "browser"))
        (data / "SingletonLock").unlink()
        (data / "SingletonLock").symlink_to("host-999999999")
        self.assertNotIn("runs with", self.succeed("setup", "browser", "--undo"))

    def test_digests_are_spoken_of(self):
        self.firefox("one")
        text = self.succeed("setup", "browser")
        self.assertIn("bare digest", text)
        self.assertIn("mtls setup browser --key work --allow-digest", text)

    @needs_no_sanitizer
    @unittest.skipUnless(shutil.which("certutil"), "no certutil (libnss3-tools)")
    def test_nss_shows_the_certificate(self):
        profile, = self.firefox("one")
        subprocess.run(["certutil", "-N", "-d", f"sql:{profile}", "--empty-password"], check=True,
                       timeout=60)
        text = self.succeed("setup", "browser")
        self.assertRegex(text, r"(?m)^  ok +certutil lists the certificate \S+:work with ")
        listed = subprocess.run(["modutil", "-list", "-dbdir", f"sql:{profile}"], text=True,
                                env=self.env, capture_output=True, timeout=60, check=False).stdout
        self.assertIn(f"library name: {PKCS11_MODULE}", listed)

    @needs_no_sanitizer
    @unittest.skipUnless(shutil.which("certutil"), "no certutil (libnss3-tools)")
    def test_nss_makes_its_database_beside_our_file(self):
        """As a Chromium that is started for the first time."""
        (self.home / ".config/chromium").mkdir(parents=True)
        self.succeed("setup", "browser")
        database = f"sql:{self.home}/.pki/nssdb"
        subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True, timeout=60)
        self.assertRegex(self.succeed("setup", "browser"), r"(?m)^  ok +certutil lists")


if __name__ == "__main__":
    unittest.main(verbosity=2)
