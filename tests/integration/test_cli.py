# SPDX-License-Identifier: Apache-2.0
"""`mtls` against a fake agent: each subcommand, each exit code, hostile names."""

import hashlib
import json
import os
import pty
import re
import stat
import subprocess
import termios
import unittest

import wire
from cli_harness import (FAILURE, LOCKED, NO_AGENT, NO_KEY, OK, REFUSED, UNAVAILABLE, USAGE, CliTest,
                         ScriptModule, ScriptRefusal, ScriptToken, openssl)
from harness import MTLS_BIN, Kind

COMMANDS = ("list", "status", "cert", "key-ref", "run", "env", "test", "unlock", "lock",
            "check-config")
EVIL = "\x1b[2Jevil\n\u202e\\"


def hostile_key(name=EVIL, certs=()):
    return wire.Key(name=name, hash=hashlib.sha256(name.encode()).digest(), type=wire.KeyType.EC,
                    bits=256, state=wire.KeyState.ABSENT, policy=1, always_authenticate=False,
                    label=name, ck_id=b"\x01", token_label=EVIL, token_serial=EVIL, module=EVIL,
                    spki=b"\x30\x00", schemes=[wire.ECDSA_SHA256], certs=list(certs))


class WithKeys(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, algorithm in (("work", "EC"), ("backup", "RSA"), ("bare", "ED25519")):
            cls.pki.key(name, algorithm)
        cls.pki.cert("work", "/O=Corp/CN=Alice Beispiel", 100)
        cls.pki.cert("backup", "/O=Corp/OU=Ops", 3)

    def agent_with_all(self, *args):
        return self.fake_agent("work", "backup", "bare", args=args)


class TestCommandLine(CliTest):
    def test_help_names_every_command(self):
        text = self.succeed("--help")
        for name in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {name} +\S")

    def test_every_command_explains_itself(self):
        for name in COMMANDS:
            with self.subTest(name):
                text = self.succeed(name, "--help")
                self.assertTrue(text.startswith(f"Usage: mtls {name}"), text)
                self.assertEqual(self.succeed("help", name), text)
                self.assertEqual(self.succeed(name, "-h"), text)

    def test_version(self):
        self.assertRegex(self.succeed("--version"), r"^mtls \d+\.\d+\.\d+ \(libmtls-agent \d")

    def test_no_command_is_a_usage_error(self):
        done = self.mtls()
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("Usage: mtls COMMAND", done.stderr)

    def test_an_unknown_command_is_answered_with_the_nearest(self):
        self.assertIn("Did you mean: mtls list?", self.fail_with(USAGE, "lsit"))
        self.assertIn("Did you mean: mtls key-ref?", self.fail_with(USAGE, "help", "keyref"))

    def test_an_unknown_command_that_is_near_nothing(self):
        self.assertIn("See: mtls --help", self.fail_with(USAGE, "frobnicate"))

    def test_usage_errors(self):
        for args in (["list", "--nope"], ["list", "-x"], ["list", "a", "b"], ["cert"],
                     ["cert", "a", "b"], ["key-ref"], ["test"], ["run"], ["run", "--key"],
                     ["status", "extra"], ["unlock", "a", "b"], ["cert", "-o"]):
            with self.subTest(args=args):
                self.assertIn(f"mtls {args[0]} --help", self.fail_with(USAGE, *args))

    def test_a_wrong_option_is_named(self):
        for args, what in ((["list", "--nope"], "unknown option --nope"),
                           (["list", "-x"], "unknown option -x"),
                           (["cert", "-xf", "work"], "unknown option -x"),
                           (["cert", "-fx", "work"], "unknown option -x"),
                           (["cert", "work", "-xf"], "unknown option -x"),
                           (["run", "-xk", "work", "true"], "unknown option -x"),
                           (["list", "--json=3"], "--json takes no value"),
                           (["cert", "--force=3"], "--force takes no value"),
                           (["list", "--help=3"], "--help takes no value"),
                           (["run", "--key"], "--key needs a value"),
                           (["cert", "-fo"], "-fo needs a value"),
                           (["--nope"], "unknown option --nope"), (["-x"], "unknown option -x")):
            with self.subTest(args=args):
                self.assertTrue(self.fail_with(USAGE, *args).startswith(f"mtls: {what}. See: "))

    def test_an_escape_sequence_in_an_argument_does_not_reach_the_terminal(self):
        self.assertIn("\\x1b[2Jevil\\x0a", self.fail_with(USAGE, EVIL))

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([MTLS_BIN, "--help"], stdout=full, stderr=subprocess.PIPE,
                                  text=True, env=self.env, timeout=30, check=False)
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("No space left", done.stderr)

    def test_closed_descriptors_do_no_harm(self):
        done = subprocess.run(["sh", "-c", '"$1" --version <&- >&- 2>&-; echo $?', "sh", MTLS_BIN],
                              capture_output=True, text=True, env=self.env, timeout=30, check=False)
        self.assertIn(done.stdout, ("0\n", "1\n"))


class TestNoAgent(CliTest):
    def test_every_command_that_needs_it_says_so(self):
        for args in (["list"], ["status"], ["cert", "x"], ["key-ref", "x"], ["run", "true"], ["env"],
                     ["test", "x"], ["unlock"], ["lock"]):
            with self.subTest(args=args):
                text = self.fail_with(NO_AGENT, *args)
                self.assertIn(str(self.socket), text)
                self.assertIn("mtls-agent", text)

    def test_an_agent_that_hangs_up(self):
        self.pki.key("work")
        self.fake_agent("work", args=["--on", "list", "--drop-sign"])
        self.fail_with(NO_AGENT, "list")


class TestErrorCodes(WithKeys):
    """Each answer of the agent has its exit code."""

    def test_a_name_that_cannot_be_one(self):
        self.agent_with_all()
        self.fail_with(USAGE, "cert", "x" * 2000)

    def answer(self, code, expected):
        self.agent_with_all("--error", f"{int(code)}:Because. Do this.")
        self.assertEqual(self.fail_with(expected, "test", "work"), "mtls: Because. Do this.")

    def test_policy(self):
        self.answer(wire.Code.POLICY, REFUSED)

    def test_no_key(self):
        self.answer(wire.Code.NO_KEY, NO_KEY)

    def test_ambiguous(self):
        self.answer(wire.Code.AMBIGUOUS, NO_KEY)

    def test_token_gone(self):
        self.answer(wire.Code.TOKEN_GONE, UNAVAILABLE)

    def test_locked(self):
        self.answer(wire.Code.LOCKED, LOCKED)

    def test_pin(self):
        self.answer(wire.Code.PIN, LOCKED)

    def test_busy(self):
        self.answer(wire.Code.BUSY, UNAVAILABLE)

    def test_timeout(self):
        self.answer(wire.Code.TIMEOUT, UNAVAILABLE)

    def test_internal(self):
        self.answer(wire.Code.INTERNAL, FAILURE)


class TestList(WithKeys):
    def test_table(self):
        self.agent_with_all()
        lines = self.succeed("list").splitlines()
        self.assertRegex(lines[0], r"^KEY +ALGORITHM +SUBJECT +EXPIRES +TOKEN +STATE$")
        self.assertRegex(lines[1], r"^work +EC P-256 +Alice Beispiel +in 3 months +fake +ready$")
        self.assertRegex(lines[2], r"^backup +RSA 2048 +O=Corp +in \d+ \w+ +fake +ready$")
        self.assertRegex(lines[3], r"^bare +Ed25519 +- +no certificate +fake +ready$")

    def test_one_key(self):
        self.agent_with_all()
        self.assertEqual(len(self.succeed("list", "backup").splitlines()), 2)
        self.fail_with(NO_KEY, "list", "nope")

    def test_locked_token(self):
        self.agent_with_all("--locked")
        self.assertRegex(self.succeed("list"), r"(?m)^work .* locked$")

    def test_no_keys(self):
        self.fake_agent()
        done = self.mtls("list")
        self.assertEqual((done.returncode, done.stdout), (OK, ""))
        self.assertIn("mtls status", done.stderr)
        self.assertEqual(json.loads(self.succeed("list", "--json")), [])

    def test_json_has_everything(self):
        self.agent_with_all()
        keys = {key["name"]: key for key in json.loads(self.succeed("list", "--json"))}
        self.assertEqual(set(keys), {"work", "backup", "bare"})
        work = keys["work"]
        cert = openssl("x509", "-in", self.pki.dir / "work.crt", "-noout", "-serial",
                       "-subject", "-issuer", "-nameopt", "RFC2253").decode()
        self.assertEqual(f"serial={work['certificate_serial']}\nsubject={work['subject']}\n"
                         f"issuer={work['issuer']}\n", cert)
        spki = openssl("pkey", "-in", self.pki.dir / "work.pem", "-pubout", "-outform", "DER")
        self.assertEqual(work["hash"], "sha256:" + hashlib.sha256(spki).hexdigest())
        self.assertEqual((work["algorithm"], work["bits"], work["state"], work["certificates"]),
                         ("EC P-256", 256, "ready", 2))
        self.assertEqual(work["schemes"][0], "ecdsa_secp256r1_sha256")
        for name in ("not_before", "not_after"):
            self.assertRegex(work[name], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(work["token"], {"label": "fake", "serial": "0001", "module": "fake"})
        self.assertTrue(work["uri"].startswith("pkcs11:token=fake;serial=0001;"))
        self.assertIs(work["signs_digests"], False)
        self.assertIsNone(keys["bare"]["subject"])
        self.assertIsNone(keys["bare"]["not_after"])

    def test_json_has_the_lines_that_the_completions_look_for(self):
        self.agent_with_all()
        self.assertRegex(self.succeed("list", "--json"), r'(?m)^    "name": "work",$')
        self.assertRegex(self.succeed("status", "--json"), r'(?m)^      "label": "fake",$')

    def test_pages_are_put_together(self):
        self.agent_with_all("--page", "1")
        self.assertEqual(len(self.succeed("list").splitlines()), 4)

    def test_hostile_names_do_not_reach_the_terminal(self):
        self.scripted_agent(keys=[hostile_key(certs=[b"no certificate"])])
        text = self.succeed("list")
        self.assertNotRegex(text, r"[\x00-\x09\x0b-\x1f\u202e]")
        self.assertIn("\\x1b[2Jevil\\x0a\\u{202e}\\\\", text)
        self.assertIn("unreadable certificate", text)
        self.assertEqual(json.loads(self.succeed("list", "--json"))[0]["name"], EVIL)

    def test_the_table_fits_the_terminal(self):
        keys = [hostile_key(name="k" * 60), hostile_key(name="s")]
        self.scripted_agent(keys=keys)
        for width in (70, 100):
            with self.subTest(width):
                lines = self.at_terminal(width, "list").splitlines()
                self.assertEqual(len(lines), 3)
                self.assertLessEqual(max(map(len, lines)), width)
                self.assertIn("...", lines[1])

    def at_terminal(self, width, *args):
        controller, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, width))
        process = subprocess.Popen([MTLS_BIN, *args], stdout=terminal, stderr=terminal,
                                   stdin=subprocess.DEVNULL, env=self.env)
        os.close(terminal)
        text = b""
        while True:
            try:
                text += os.read(controller, 65536)
            except OSError:
                break
        os.close(controller)
        self.assertEqual(process.wait(30), OK)
        return text.decode()


class TestStatus(WithKeys):
    def test_text(self):
        self.agent_with_all()
        text = self.succeed("status")
        self.assertRegex(text, r"(?m)^agent +fake, pid \d+, up \d+ seconds?, .*agent\.sock$")
        self.assertRegex(text, r"(?m)^requests +0 signed, 0 refused, 0 failed$")
        self.assertRegex(text, r"(?m)^fake +ready +1 +0 +/nonexistent/fake\.so$")
        self.assertRegex(text, r"(?m)^fake +0001 +fake +ready +3$")
        self.assertNotIn("To do", text)

    def test_what_to_do(self):
        self.agent_with_all("--locked")
        self.assertIn("Token fake waits for its PIN. Run: mtls unlock fake",
                      self.succeed("status"))

    def test_json(self):
        agent = self.agent_with_all("--locked")
        status = json.loads(self.succeed("status", "--json"))
        self.assertEqual(status["pid"], agent.process.pid)
        self.assertEqual(status["socket"], str(self.socket))
        self.assertEqual(status["tokens"][0]["state"], "locked")
        self.assertEqual(status["modules"][0]["state"], "ready")
        self.assertEqual(len(status["to_do"]), 1)

    def test_every_problem_is_named(self):
        self.scripted_agent(
            modules=[ScriptModule("broken", state=wire.ModuleState.FAILED, text="no such file")],
            tokens=[ScriptToken("card", "1", wire.TokenState.PIN_BLOCKED),
                    ScriptToken(EVIL, "2", wire.TokenState.PIN_BAD, "refused")],
            config_text="agent.conf:3: unknown key")
        text = self.succeed("status")
        for part in ("agent.conf:3: unknown key", "Module broken does not work: no such file",
                     "PIN of token card is blocked", "refused the configured PIN: refused"):
            self.assertIn(part, text)
        self.assertNotIn("\x1b", text)


    def test_what_was_refused(self):
        self.scripted_agent(refusals=[
            ScriptRefusal("write sign = digest", 2 * 3600 * 1000, 7, uid=os.geteuid()),
            ScriptRefusal("no " + EVIL, program="", key=EVIL, uid=4242, kind=Kind.TLS12)])
        text = self.succeed("status")
        self.assertIn('Refused lately:\n  2 hours ago, 7 times: digest with key "work" for '
                      "/usr/bin/browser (pid 4712)\n    write sign = digest\n", text)
        self.assertIn('  0 seconds ago: tls12 with key "', text)
        self.assertIn("for an unknown program (uid 4242, pid 4712)\n    no ", text)
        self.assertNotIn("\x1b", text)

    def test_what_was_refused_in_json(self):
        self.scripted_agent(refusals=[ScriptRefusal("no", 1234, program="", uid=4242, kind=77)])
        self.assertEqual(json.loads(self.succeed("status", "--json"))["recent_refusals"], [
            {"age_ms": 1234, "count": 1, "uid": 4242, "pid": 4712, "program": None, "key": "work",
             "kind": "unknown", "text": "no"}])


    def test_readers(self):
        self.scripted_agent(readers_text="pcscd is gone: start it", readers=[
            wire.Reader("Reader 00 00", wire.ReaderState.EXCLUSIVE, "scdaemon (pid 815)"),
            wire.Reader("Evil " + EVIL, wire.ReaderState.MUTE, ""),
            wire.Reader("Other 02 00", wire.ReaderState.IN_USE, "")])
        text = self.succeed("status")
        self.assertRegex(text, r"(?m)^Reader 00 00 +exclusive +scdaemon \(pid 815\)$")
        self.assertRegex(text, r"(?m)^Other 02 00 +in-use +-$")
        self.assertIn("There are no smart card readers: pcscd is gone: start it", text)
        self.assertIn("Reader 00 00 is held by another program for itself: scdaemon (pid 815). End", text)
        self.assertIn(" does not answer. Take it out", text)
        self.assertNotIn("\x1b", text)

    def test_readers_in_json(self):
        self.scripted_agent(readers=[
            wire.Reader("Reader 00 00", wire.ReaderState.PRESENT, "")])
        status = json.loads(self.succeed("status", "--json"))
        self.assertEqual(status["readers"],
                         [{"name": "Reader 00 00", "state": "card", "text": ""}])
        self.assertEqual(status["readers_text"], "")


class TestFiles(WithKeys):
    def test_cert_prints_leaf_and_chain(self):
        self.agent_with_all()
        self.assertEqual(self.succeed("cert", "work"), (self.pki.dir / "work.crt").read_text())

    def test_cert_by_hash(self):
        self.agent_with_all()
        name = json.loads(self.succeed("list", "work", "--json"))[0]["hash"][:15]
        self.assertEqual(self.succeed("cert", name), self.succeed("cert", "work"))

    def test_cert_without_certificate(self):
        self.agent_with_all()
        self.assertIn("certificate = FILE", self.fail_with(FAILURE, "cert", "bare"))

    def test_cert_into_a_file(self):
        self.agent_with_all()
        path = self.dir / "out.pem"
        self.assertEqual(self.succeed("cert", "work", "-o", path), "")
        self.assertEqual(path.read_text(), (self.pki.dir / "work.crt").read_text())
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)

    def test_key_ref_names_the_key(self):
        self.agent_with_all()
        text = self.succeed("key-ref", "work")
        self.assertEqual(self.uri_in(text), "mtls-agent:work")

    def test_key_ref_of_an_ambiguous_name_is_by_hash(self):
        twins = [hostile_key(name="twin", certs=[b"x"]), hostile_key(name="twin", certs=[b"x"])]
        twins[1].hash = bytes(32)
        for twin in twins:
            twin.state = wire.KeyState.READY
        self.scripted_agent(keys=twins)
        text = self.succeed("key-ref", "sha256:" + twins[0].hash.hex())
        self.assertEqual(self.uri_in(text), "mtls-agent:sha256:" + twins[0].hash.hex())

    def test_key_ref_of_a_locked_key_is_by_hash(self):
        # The label of the private key, which takes the place of the certificate's, comes with the PIN.
        key = hostile_key(name="work")
        key.state = wire.KeyState.LOCKED
        self.scripted_agent(keys=[key])
        self.assertEqual(self.uri_in(self.succeed("key-ref", "work")),
                         "mtls-agent:sha256:" + key.hash.hex())

    def test_key_ref_of_a_locked_key_keeps_the_name_of_the_configuration(self):
        key = hostile_key(name="work")
        key.state = wire.KeyState.LOCKED
        key.label = "the certificate's"
        self.scripted_agent(keys=[key])
        self.assertEqual(self.uri_in(self.succeed("key-ref", "work")), "mtls-agent:work")

    @staticmethod
    def uri_in(pem):
        body = re.fullmatch(r"-----BEGIN MTLS AGENT KEY REFERENCE-----\n(.*)"
                            r"-----END MTLS AGENT KEY REFERENCE-----\n", pem, re.S).group(1)
        der = openssl("base64", "-d", data=body.encode())
        return re.search(rb"mtls-agent:\S+", der).group(0).decode()

    def test_key_ref_file_is_private_whatever_the_umask(self):
        self.agent_with_all()
        path = self.dir / "key.pem"
        self.succeed("key-ref", "work", "-o", path, preexec_fn=lambda: os.umask(0))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(path.read_text(), self.succeed("key-ref", "work"))
        self.assertEqual(os.listdir(self.dir).count("key.pem"), 1)

    def test_key_ref_leaves_what_is_there(self):
        self.agent_with_all()
        path = self.dir / "key.pem"
        path.write_text("precious")
        self.assertIn("--force", self.fail_with(FAILURE, "key-ref", "work", "-o", path))
        self.assertEqual(path.read_text(), "precious")
        self.succeed("key-ref", "work", "--force", "-o", path)
        self.assertIn("MTLS AGENT KEY REFERENCE", path.read_text())

    def test_key_ref_follows_no_link(self):
        self.agent_with_all()
        victim = self.dir / "victim"
        victim.write_text("precious")
        link = self.dir / "link"
        link.symlink_to(victim)
        for force in ([], ["--force"]):
            self.assertIn("no regular file",
                          self.fail_with(FAILURE, "key-ref", "work", "-o", link, *force))
        self.assertEqual(victim.read_text(), "precious")
        self.assertTrue(link.is_symlink())

    def test_key_ref_into_a_missing_directory(self):
        self.agent_with_all()
        self.assertRegex(self.fail_with(FAILURE, "key-ref", "work", "-o", self.dir / "no/key.pem"),
                         "^mtls: cannot write .*/no/key.pem: No such file .*\\. Choose another file$")


class TestHiddenKeys(CliTest):
    """Keys that a token does not show before it has its PIN."""

    def test_a_token_that_waits_is_named(self):
        self.scripted_agent(tokens=[ScriptToken("open", "1"),
                                    ScriptToken("card", "2", wire.TokenState.LOCKED)])
        for command in ("list", "cert", "test"):
            with self.subTest(command):
                self.assertIn("token card waits for its PIN",
                              self.fail_with(NO_KEY, command, "work"))

    def test_no_token_waits(self):
        self.scripted_agent(tokens=[ScriptToken("open", "1")])
        self.assertNotIn("PIN", self.fail_with(NO_KEY, "test", "work"))


class TestSelfTest(WithKeys):
    def test_the_preferred_scheme(self):
        agent = self.agent_with_all()
        for name, scheme in (("work", "ecdsa_secp256r1_sha256"), ("backup", "rsa_pss_rsae_sha256"),
                             ("bare", "ed25519")):
            with self.subTest(name):
                self.assertRegex(self.succeed("test", name),
                                 rf"^{scheme}: signed and verified in \d+\.\d ms\n$")
        self.assertIn("sign work tls13 0x0403 130", agent.log())

    def test_all_schemes(self):
        self.agent_with_all()
        self.assertEqual(len(self.succeed("test", "backup", "--all").splitlines()), 3)

    def test_json(self):
        self.agent_with_all()
        result = json.loads(self.succeed("test", "backup", "--all", "--json"))
        self.assertIs(result["ok"], True)
        self.assertEqual([s["scheme"] for s in result["schemes"]],
                         ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"])

    def test_json_of_a_failure(self):
        self.agent_with_all("--locked")
        done = self.mtls("test", "work", "--json")
        self.assertEqual(done.returncode, LOCKED)
        self.assertEqual(json.loads(done.stdout)["schemes"][0]["result"], "locked")

    def test_a_long_wait_says_what_is_waited_for(self):
        self.agent_with_all("--delay-ms", "1500")
        done = self.mtls("test", "work")
        self.assertEqual(done.returncode, OK)
        self.assertRegex(done.stderr, r"^mtls: waiting for token fake: .*touch.*PIN.*\n$")

    def test_unknown_key(self):
        self.agent_with_all()
        self.fail_with(NO_KEY, "test", "nope")


class TestLock(WithKeys):
    def test_lock_and_unlock(self):
        agent = self.agent_with_all()
        done = self.mtls("lock")
        self.assertEqual((done.returncode, done.stderr), (OK, "mtls: all tokens are locked\n"))
        self.fail_with(LOCKED, "test", "work")
        done = self.mtls("unlock", "--stdin", input="1234\n")
        self.assertEqual((done.returncode, done.stderr), (OK, "mtls: token fake is unlocked\n"))
        self.succeed("test", "work")
        self.assertEqual(agent.log().count("unlock"), 1)

    def test_lock_of_an_unknown_token(self):
        self.agent_with_all()
        self.fail_with(NO_KEY, "lock", "nope")


class TestCheckConfig(CliTest):
    def agent_script(self, text):
        path = self.dir / "mtls-agent"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        self.env["MTLS_AGENT_BIN"] = str(path)

    def test_output_and_exit_code_are_the_agents(self):
        self.agent_script('echo "$@"; echo problem >&2; exit 1')
        done = self.mtls("check-config", "/some/file")
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (1, "--check-config --config /some/file\n", "problem\n"))

    def test_without_a_file(self):
        self.agent_script('echo "$@"')
        self.assertEqual(self.succeed("check-config"), "--check-config\n")

    def test_an_agent_in_the_path(self):
        self.agent_script('echo found')
        del self.env["MTLS_AGENT_BIN"]
        self.env["PATH"] = f"{self.dir}:{self.env['PATH']}"
        self.assertEqual(self.succeed("check-config"), "found\n")

    def test_no_agent_program(self):
        self.env["MTLS_AGENT_BIN"] = str(self.dir / "missing")
        self.assertIn("Install mtls-agent", self.fail_with(FAILURE, "check-config"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
