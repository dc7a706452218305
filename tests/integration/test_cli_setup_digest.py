# SPDX-License-Identifier: Apache-2.0
"""`mtls setup` and the agent's configuration: one key is let sign digests, nothing else changes, and
what the agent would not take is not left behind."""

import shutil
import unittest

import wire
from cli_harness import FAILURE
from harness import Code, Kind, MTLS_BIN, needs_no_sanitizer
from setup_harness import SetupTest


@needs_no_sanitizer
class DigestTest(SetupTest):
    KEYS = {"work": "EC:prime256v1", "other": "EC:prime256v1"}

    def drop_ins(self):
        return {path.name: path.read_text() for path in (self.config / "agent.conf.d").glob("*")}

    def the_drop_in(self):
        drop_in, = self.drop_ins().values()
        return drop_in

    def allow(self, program="ssh", key="work"):
        return self.mtls("setup", program, "--key", key, "--allow-digest")


class TestAllow(DigestTest):
    def test_for_this_key_alone(self):
        self.assertEqual(self.allow().returncode, 0)
        self.assertTrue(self.may_sign_digests("work"))
        self.assertFalse(self.may_sign_digests("other"))
        with self.agent_at_home.connect() as client:
            key, other = (self.the_token.keys[name] for name in ("work", "other"))
            client.sign(key.hash, wire.ECDSA_SHA256, Kind.DIGEST, bytes(32))
            self.assert_refused(Code.POLICY, client.sign, other.hash, wire.ECDSA_SHA256, Kind.DIGEST,
                                bytes(32))

    def test_the_file(self):
        self.allow()
        (name, text), = self.drop_ins().items()
        self.assertEqual(name, f"zz-mtls-setup-{self.the_token.keys['work'].hash.hex()[:16]}.conf")
        self.assertIn("\n# for: ssh\n[key work]\nuri = pkcs11:", text)
        self.assertEqual((self.config / "agent.conf.d" / name).stat().st_mode & 0o777, 0o600)

    def test_the_key_keeps_its_name(self):
        self.allow()
        self.assertIn('"name": "work"', self.mtls("list", "--json").stdout)

    def test_not_unasked(self):
        for args in ([], ["--write"], ["--allow-digest", "--dry-run"], ["--yes"]):
            done = self.mtls("setup", "ssh", "--key", "work", *args)
            self.assertIn("--allow-digest", done.stdout, args)
            self.assertEqual(self.drop_ins(), {})
            self.assertFalse(self.may_sign_digests())

    def test_not_when_the_rest_fails(self):
        done = self.mtls("setup", "browser", "--key", "work", "--allow-digest")
        self.assertIn("no profile", done.stderr)
        self.assertEqual(self.drop_ins(), {})
        self.assertFalse(self.may_sign_digests())

    def test_no_agent_of_the_working_directory_is_run(self):
        bait = self.home / "mtls-agent"
        bait.write_text("#!/bin/sh\n: >run\n")
        bait.chmod(0o755)
        (self.home / "bin").mkdir()
        program = shutil.copy(MTLS_BIN, self.home / "bin/mtls")
        done = self.run_program(program, "setup", "ssh", "--key", "work", "--allow-digest",
                                PATH="/nonexistent", MTLS_AGENT_BIN="")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("No such file", done.stderr)
        self.assertFalse((self.home / "run").exists())

    def test_not_for_programs_that_need_it_not(self):
        for program in ("curl", "openssl", "python", "nginx"):
            self.mtls("setup", program, "--key", "work", "--allow-digest", "--yes")
        self.assertEqual(self.drop_ins(), {})

    def test_it_stays_as_long_as_a_program_needs_it(self):
        self.allow("ssh")
        self.mtls("setup", "gnutls", "--key", "work", "--allow-digest")
        self.assertIn("# for: ssh gnutls\n", self.the_drop_in())
        self.assertIn("stays for: gnutls", self.mtls("setup", "ssh", "--undo").stdout)
        self.assertIn("# for: gnutls\n", self.the_drop_in())
        self.assertTrue(self.may_sign_digests())
        self.mtls("setup", "gnutls", "--undo")
        self.assertEqual(self.drop_ins(), {})

    def test_undo(self):
        self.allow()
        done = self.mtls("setup", "ssh", "--undo")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse((self.config / "agent.conf.d").exists())
        self.agent_at_home.wait_for(lambda status: not self.may_sign_digests(), what="tls alone")

    def test_undo_without_an_agent(self):
        self.allow()
        self.agent_at_home.stop()
        done = self.mtls("setup", "ssh", "--undo")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.drop_ins(), {})


class TestOwnSection(DigestTest):
    """The user has a section for the key, under a name of his own."""

    SECTIONS = "[key mine]\nuri = pkcs11:token=demo;id=%01\nsign = tls\n"

    def test_its_uri_stays(self):
        done = self.allow(key="mine")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn("[key mine]\nsign = digest\n", self.the_drop_in())
        self.assertTrue(self.may_sign_digests("mine"))

    def test_a_later_drop_in_that_forbids_it(self):
        directory = self.config / "agent.conf.d"
        directory.mkdir()
        (directory / "zzz.conf").write_text("[key mine]\nsign = tls\n")
        done = self.allow(key="mine")
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("taken back", done.stderr)
        self.assertEqual(list(self.drop_ins()), ["zzz.conf"])
        self.assertFalse(self.may_sign_digests("mine"))


class TestAwkwardNames(DigestTest):
    KEYS = {"a ;b] = c": "EC:prime256v1", "work": "EC:prime256v1"}

    def test_a_name_that_no_section_can_have(self):
        done = self.allow(key="a ;b] = c")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(self.the_drop_in(), r"\[key key-[0-9a-f]{16}\]\n")
        self.assertIn("is called key-", done.stdout)
        self.assertFalse(self.may_sign_digests("work"))


class TestBroken(DigestTest):
    def test_a_configuration_that_is_broken_already(self):
        conf = self.config / "agent.conf"
        conf.write_text(conf.read_text() + "[agent]\nnonsense = 1\n")
        done = self.allow()
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("nonsense", done.stderr)
        self.assertIn("mtls check-config", done.stderr)
        self.assertEqual(self.drop_ins(), {})

    def test_a_drop_in_of_ours_that_somebody_has_changed(self):
        """It is as it was when the new one would not do."""
        self.allow()
        name, = self.drop_ins()
        path = self.config / "agent.conf.d" / name
        path.write_text(path.read_text() + "[key third]\nuri = pkcs11:token=x\n")
        self.mtls("setup", "ssh", "--undo")
        self.assertEqual(self.drop_ins(), {})


class TestOtherAgents(DigestTest):
    def test_an_agent_with_a_configuration_of_its_own(self):
        agent = self.agent(self.the_token.config())
        agent.wait_keys(2)
        done = self.run_program(MTLS_BIN, "setup", "ssh", "--key", "work", "--allow-digest",
                                MTLS_AGENT_SOCK=str(agent.socket))
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("--config", done.stderr)
        self.assertEqual(self.drop_ins(), {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
