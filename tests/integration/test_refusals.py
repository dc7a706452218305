# SPDX-License-Identifier: Apache-2.0
"""What policy refused shows in `mtls status` with its remedy, to those who may see it."""

import json
import os
import re
import subprocess
import sys

import harness
import wire
from harness import (Code, Kind, OTHER_UID, IntegrationTest, Refused, needs_root,
                     tls_messages)

# One refused digest and the status after it, over the wire, as another user.
_REFUSED_AS = """
import sys
sys.path.insert(0, sys.argv[1])
import wire
with wire.Wire(sys.argv[2]) as client:
    if sys.argv[3]:
        try:
            client.sign(bytes.fromhex(sys.argv[3]), wire.ECDSA_SHA256, wire.Kind.DIGEST, bytes(32))
        except wire.Refused:
            pass
    print([(r.uid, r.count) for r in client.status().recent_refusals])
"""


class RefusalTest(IntegrationTest):
    SECTIONS = "[agent]\naudit = off\n"

    def setUp(self):
        token = self.token()
        self.key = token.key("work")
        self.the_agent = self.agent(self.SECTIONS + token.config())

    def refuse(self, kind=Kind.DIGEST, content=bytes(32), scheme=wire.ECDSA_SHA256):
        with self.the_agent.connect() as client, self.assertRaises(Refused) as refused:
            client.sign(self.key.hash, scheme, kind, content)
        self.assertEqual(refused.exception.code, Code.POLICY)
        return refused.exception.text

    def refusals(self):
        return self.the_agent.status().recent_refusals

    def mtls(self, *args):
        done = subprocess.run([harness.MTLS_BIN, *args], capture_output=True, text=True, timeout=60,
                              env={"MTLS_AGENT_SOCK": str(self.the_agent.socket),
                                   "PATH": os.environ["PATH"]}, check=True)
        return done.stdout


class TestRefusals(RefusalTest):
    def test_nothing_was_refused(self):
        self.assertEqual(self.refusals(), [])
        self.assertNotIn("Refused lately", self.mtls("status"))
        self.assertEqual(json.loads(self.mtls("status", "--json"))["recent_refusals"], [])

    def test_refused_digest_says_who_what_and_why(self):
        text = self.refuse()
        (refusal,) = self.refusals()
        self.assertEqual((refusal.count, refusal.uid, refusal.pid, refusal.key, refusal.kind),
                         (1, os.geteuid(), os.getpid(), "work", Kind.DIGEST))
        self.assertEqual(refusal.program, os.readlink("/proc/self/exe"))
        self.assertEqual(refusal.text, text)
        self.assertLess(refusal.age_ms, 60000)

    def test_same_again_raises_the_count(self):
        for count in range(1, 4):
            self.refuse()
            self.assertEqual([r.count for r in self.refusals()], [count])

    def test_latest_is_first(self):
        self.refuse()
        self.refuse(kind=9)
        self.assertEqual([r.kind for r in self.refusals()], [9, Kind.DIGEST])
        self.refuse()
        self.assertEqual([r.kind for r in self.refusals()], [Kind.DIGEST, 9])

    def test_last_sixteen_are_kept(self):
        for kind in range(100, 120):
            self.refuse(kind=kind)
        self.assertEqual([r.kind for r in self.refusals()], list(range(119, 103, -1)))

    def test_what_is_no_refusal_by_policy_is_not_there(self):
        with self.the_agent.connect() as client:
            with self.assertRaises(Refused):
                client.sign(bytes(32), wire.ECDSA_SHA256, Kind.DIGEST, bytes(32))
            client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                        tls_messages.certificate_verify())
        self.assertEqual(self.refusals(), [])

    def test_mtls_status_shows_it(self):
        for _ in range(3):
            self.refuse()
        text = self.mtls("status")
        self.assertRegex(text, r'(?m)^Refused lately:\n  \d+ \w+ ago, 3 times: digest with key '
                               rf'"work" for \S+ \(pid {os.getpid()}\)\n    refused to sign: ')
        self.assertIn("sign = digest", text)

    def test_mtls_status_json_shows_it(self):
        text = self.refuse()
        (refusal,) = json.loads(self.mtls("status", "--json"))["recent_refusals"]
        self.assertLess(refusal.pop("age_ms"), 60000)
        self.assertEqual(refusal, {
            "count": 1, "uid": os.geteuid(), "pid": os.getpid(),
            "program": os.readlink("/proc/self/exe"), "key": "work", "kind": "digest",
            "text": text})

    def test_unknown_kind_has_a_word(self):
        self.refuse(kind=9)
        self.assertIn("an unknown kind with key", self.mtls("status"))
        (refusal,) = json.loads(self.mtls("status", "--json"))["recent_refusals"]
        self.assertEqual(refusal["kind"], "unknown")


class TestRemedy(RefusalTest):
    def take_remedy(self, text):
        """The lines between backquotes that the sentence gives, into the file that it names."""
        self.assertIn(f"add to {self.the_agent.config_file} the lines `", text)
        lines = re.findall(r"`(\[key [^`]*\]|uri = [^`]*|sign = digest)`", text)[-3:]
        self.assertEqual(len(lines), 3, text)
        self.the_agent.reload(self.the_agent.config_file.read_text() + "\n" + "\n".join(lines) + "\n")

    def test_its_lines_allow_it(self):
        self.take_remedy(self.refuse())
        with self.the_agent.connect() as client:
            self.assertTrue(client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.DIGEST, bytes(32)))

    def test_where_there_is_a_section_its_place_is_named(self):
        config = self.the_agent.config_file
        self.the_agent.reload("[key mine]\nuri = pkcs11:object=work\n" + config.read_text())
        text = self.refuse()
        self.assertIn(f"write `sign = digest` below [key mine] ({config}:1)", text)
        self.the_agent.reload(config.read_text().replace("=work\n", "=work\nsign = digest\n", 1))
        with self.the_agent.connect() as client:
            self.assertTrue(client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.DIGEST, bytes(32)))


@needs_root
class TestOtherUsers(RefusalTest):
    """The agent runs as root here: a third user's view needs an agent that serves two others."""
    SECTIONS = f"[agent]\naudit = off\nusers = {OTHER_UID}, {OTHER_UID + 1}\n"

    def seen_by(self, uid, refuse=False):
        self.the_agent.run_dir.chmod(0o755)
        self.the_agent.socket.chmod(0o666)
        done = subprocess.run(
            ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", sys.executable,
             "-I", "-B", "-c", _REFUSED_AS, os.path.dirname(wire.__file__),
             str(self.the_agent.socket), self.key.hash.hex() if refuse else ""],
            capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.replace("(", "[").replace(")", "]"))

    def test_a_user_sees_their_own_alone(self):
        self.refuse()
        self.assertEqual(self.seen_by(OTHER_UID, refuse=True), [[OTHER_UID, 1]])
        self.assertEqual(self.seen_by(OTHER_UID + 1), [])

    def test_the_agent_s_user_sees_all(self):
        self.refuse()
        self.seen_by(OTHER_UID, refuse=True)
        self.assertEqual([r.uid for r in self.refusals()], [OTHER_UID, os.geteuid()])

    def test_another_user_s_uid_is_shown(self):
        self.seen_by(OTHER_UID, refuse=True)
        self.assertIn(f"(uid {OTHER_UID}, pid ", self.mtls("status"))

    def test_one_user_does_not_push_out_another_s(self):
        self.seen_by(OTHER_UID, refuse=True)
        for kind in range(100, 140):
            self.refuse(kind=kind)
        self.assertIn(OTHER_UID, [r.uid for r in self.refusals()])


if __name__ == "__main__":
    harness.main()
