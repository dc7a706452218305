# SPDX-License-Identifier: Apache-2.0
"""One JSON line for each use of a key, done or refused; a disk that is full stops nothing."""

import json
import os
import re
import select
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind, needs_mounts, poll_until

FIELDS = {"time": str, "uid": int, "pid": int, "exe": str, "unit": str, "key": str, "key_hash": str,
          "kind": str, "scheme": str, "result": str, "reason": str, "ms": (int, float)}


class AuditTest(FaultTest):
    def audited(self, token=None, audit=None, sections="", **options):
        token = token or self.faulty_token()
        agent = self.agent(start=False, **options)
        agent.configure(f"[agent]\naudit = {audit or f'file:{agent.audit_file}'}\n" +
                        token.config() + sections)
        agent.start()
        agent.wait_keys()
        return token, agent

    def sign(self, client, key, scheme=wire.ECDSA_SHA256, kind=Kind.TLS13, content=None):
        return client.sign(key.hash, scheme, kind, content or tls_messages.certificate_verify())

    def lines(self, agent, count=1):
        """Exactly @count lines, parsed."""
        poll_until(lambda: len(agent.audit()) >= count, what=f"{count} audit lines")
        found = [json.loads(line) for line in agent.audit()]
        self.assertEqual(len(found), count, found)
        return found


class TestLine(AuditTest):
    def one_line(self):
        token, agent = self.audited()
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
        return token, agent, self.lines(agent)[0]

    def test_all_fields_and_their_types(self):
        _, _, line = self.one_line()
        self.assertEqual(set(line), set(FIELDS))
        for name, kind in FIELDS.items():
            self.assertIsInstance(line[name], kind, name)

    def test_who(self):
        _, _, line = self.one_line()
        self.assertEqual((line["uid"], line["pid"]), (os.geteuid(), os.getpid()))
        self.assertEqual(line["exe"], os.path.realpath(sys.executable))

    def test_what(self):
        token, _, line = self.one_line()
        self.assertEqual(line["key"], "work")
        self.assertEqual(line["key_hash"], "sha256:" + token.keys["work"].hash.hex())
        self.assertEqual(line["kind"], "tls13")
        self.assertEqual(line["scheme"], "ecdsa_secp256r1_sha256")

    def test_outcome(self):
        _, _, line = self.one_line()
        self.assertEqual((line["result"], line["reason"]), ("ok", ""))
        self.assertGreaterEqual(line["ms"], 0)
        self.assertLess(line["ms"], 10000)

    def test_signature_whose_client_left_before_its_deadline_passed(self):
        """The token made it: that nobody waited any more is another matter."""
        token, agent = self.audited()
        token.rules("C_Sign delay 1000")
        with agent.connect() as client:
            self.ask(client, token.keys["work"], 300)
            token.wait_calls("C_Sign")
        (line,) = self.lines(agent)
        self.assertEqual((line["result"], line["client"]), ("ok", "gone"))

    def test_time_is_now_in_utc(self):
        _, _, line = self.one_line()
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        written = time.mktime(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        self.assertLess(abs(time.time() - written), 60)

    def test_file_is_for_the_owner_alone(self):
        _, agent, _ = self.one_line()
        self.assertEqual(agent.audit_file.stat().st_mode & 0o777, 0o600)

    def test_each_use_is_one_line(self):
        token, agent = self.audited()
        with agent.connect() as client:
            for _ in range(20):
                self.sign(client, token.keys["work"])
        self.lines(agent, 20)

    def test_list_and_status_are_no_use(self):
        _, agent = self.audited()
        with agent.connect() as client:
            client.keys()
            client.status()
        self.assertEqual(agent.audit(), [])


class TestRefused(AuditTest):
    def refused_line(self, expected, **request):
        token, agent = self.audited()
        with agent.connect() as client:
            refusal = self.assert_refused(expected, self.sign, client, token.keys["work"],
                                          **request)
        (line,) = self.lines(agent)
        self.assertEqual(set(line), set(FIELDS))
        self.assertTrue(line["reason"])
        return line, refusal

    def test_bare_digest(self):
        line, _ = self.refused_line(Code.POLICY, kind=Kind.DIGEST, content=b"d" * 32)
        self.assertEqual((line["result"], line["kind"]), ("policy", "digest"))

    def test_content_that_is_no_tls(self):
        line, _ = self.refused_line(Code.POLICY, content=b"SSHSIG" + b"x" * 124)
        self.assertEqual(line["result"], "policy")

    def test_scheme_of_another_key_type(self):
        line, _ = self.refused_line(Code.POLICY, scheme=wire.RSA_PSS_SHA256)
        self.assertEqual(line["scheme"], "rsa_pss_rsae_sha256")

    def test_unknown_key(self):
        token, agent = self.audited()
        with agent.connect() as client:
            self.assert_refused(Code.NO_KEY, client.sign, b"\1" * 32, wire.ECDSA_SHA256,
                                Kind.TLS13, tls_messages.certificate_verify())
        (line,) = self.lines(agent)
        self.assertEqual(line["result"], "no-key")
        self.assertEqual(line["key_hash"], "sha256:" + "01" * 32)

    def test_locked_token(self):
        token, agent = self.faulty_token(), None
        agent = self.agent(start=False)
        agent.configure(f"[agent]\naudit = file:{agent.audit_file}\n" + token.config(pin="ask"))
        agent.start()
        self.wait_token(agent, lambda t: True)
        with agent.connect() as client:
            self.assert_refused(Code.LOCKED, self.sign, client, token.keys["work"])
        self.assertEqual(self.lines(agent)[0]["result"], "locked")

    def test_failed_module(self):
        token, agent = self.audited()
        token.rules("C_Sign rv 20 1")
        with agent.connect() as client:
            self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"])
        self.assertEqual(self.lines(agent)[0]["result"], "internal")

    def test_killed_worker(self):
        token, agent = self.audited()
        token.rules("C_Sign crash 1")
        with agent.connect() as client:
            self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"])
            self.sign(client, token.keys["work"])
        self.assertEqual([line["result"] for line in self.lines(agent, 2)], ["internal", "ok"])

    def test_contents_are_not_in_the_line(self):
        content = b"MARKER-OF-THE-CONTENT" + b"x" * 109
        line, _ = self.refused_line(Code.POLICY, content=content)
        self.assertNotIn("MARKER", json.dumps(line))


class TestUntrustedText(AuditTest):
    EVIL = 'a"b\\c\n{"result":"ok"}\x1b[2J\x7f\u202e'

    def sign_with(self, agent, program):
        """A signature for a copy of Python at the path @program."""
        os.makedirs(os.path.dirname(program))
        shutil.copy(os.path.realpath(sys.executable), program)
        script = (
            "import sys; sys.path.insert(0, sys.argv[1]); import wire, tls_messages\n"
            "c = wire.Wire(sys.argv[2]); k = c.keys()[0]\n"
            "c.sign(k.hash, wire.ECDSA_SHA256, wire.Kind.TLS13, tls_messages.certificate_verify())")
        process = self.start_process(program, "-c", script, os.path.dirname(__file__),
                                     agent.socket, env={**os.environ, "PYTHONHOME":
                                         f"{sys.base_prefix}:{sys.base_exec_prefix}"})
        self.assertEqual(process.wait(20), 0)

    def test_program_with_an_evil_name(self):
        """The line stays one line, and JSON gives the name back as it is."""
        token, agent = self.audited()
        program = token.dir / "bin" / self.EVIL.replace("/", "")
        self.sign_with(agent, program)
        (line,) = self.lines(agent)
        self.assertEqual(line["exe"], str(program))
        raw = agent.audit_file.read_text()
        self.assertEqual(len(raw.splitlines()), 1)
        self.assertFalse(re.search(r"[\x00-\x09\x0b-\x1f]", raw))

    def test_program_with_the_longest_name(self):
        """Six characters of JSON for each of 4,000 bytes: there is a line all the same."""
        token, agent = self.audited()
        program = os.path.join(token.dir, *["\1" * 240] * 16, "python3")
        self.sign_with(agent, program)
        (line,) = self.lines(agent)
        self.assertEqual(line["exe"], program)

    def test_key_with_an_evil_label(self):
        token = self.faulty_token(keys={'k"\\\x1b[31m': "EC:prime256v1"})
        _, agent = self.audited(token)
        (key,) = token.keys.values()
        with agent.connect() as client:
            self.sign(client, key)
        (line,) = self.lines(agent)
        self.assertEqual(line["key"], key.label)

    def test_client_name_is_not_believed(self):
        token, agent = self.audited()
        with agent.connect(greet=False) as client:
            client.greet(name="/usr/bin/curl")
            self.sign(client, token.keys["work"])
        self.assertNotIn("curl", agent.audit_file.read_text())


class TestFile(AuditTest):
    def assert_signs_nevertheless(self, agent, token, count=30):
        with agent.connect() as client:
            seconds = self.timed(lambda: [self.sign(client, token.keys["work"])
                                          for _ in range(count)])
        self.assertLess(seconds, 5)
        self.assert_serves(agent)

    def test_full_device(self):
        token = self.faulty_token()
        agent = self.agent(start=False)
        link = agent.dir / "full"
        os.mknod(link, 0o600 | 0o020000, os.makedev(1, 7)) if os.geteuid() == 0 else \
            self.skipTest("needs root to make a device node")
        agent.configure(f"[agent]\naudit = file:{link}\n" + token.config())
        agent.launch()
        try:
            agent.wait_notified("READY=1")
        except AssertionError:
            # A file that is none may also be refused at the start, by name.
            self.assertIn(str(link), agent.log())
            return
        agent.wait_keys()
        self.assert_signs_nevertheless(agent, token)

    @needs_mounts
    def test_full_disk(self):
        """A file system of one page, in a mount namespace of the agent alone."""
        token = self.faulty_token()
        agent = self.agent(start=False, wrap=[
            "unshare", "-m", "sh", "-c",
            'mount -t tmpfs -o size=4k,mode=700 none "$0" && exec "$@"'])
        disk = agent.dir / "disk"
        disk.mkdir()
        agent.wrap.append(str(disk))
        agent.configure(f"[agent]\naudit = file:{disk}/audit.jsonl\n" + token.config())
        agent.start()
        agent.wait_keys()
        self.assert_signs_nevertheless(agent, token)
        complaints = re.findall(r"audit.*could not be written", agent.log())
        self.assertIn(len(complaints), range(1, 5), agent.log())

    @needs_mounts
    def test_line_that_did_not_fit_leaves_no_half_line(self):
        token = self.faulty_token()
        agent = self.agent(start=False, wrap=[
            "unshare", "-m", "sh", "-c",
            'mount -t tmpfs -o size=4k,mode=700 none "$0" && exec "$@"'])
        disk = agent.dir / "disk"
        disk.mkdir()
        agent.wrap.append(str(disk))
        agent.configure(f"[agent]\naudit = file:{disk}/audit.jsonl\n" + token.config())
        agent.start()
        agent.wait_keys()
        self.assert_signs_nevertheless(agent, token)
        with open(f"/proc/{agent.pid}/root{disk}/audit.jsonl", encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertGreater(len(lines), 0)
        for line in lines[:-1]:
            json.loads(line)

    def test_fifo_is_not_waited_for(self):
        token = self.faulty_token()
        agent = self.agent(start=False)
        fifo = agent.dir / "fifo"
        os.mkfifo(fifo, 0o600)
        agent.configure(f"[agent]\naudit = file:{fifo}\n" + token.config())
        agent.launch()
        try:
            agent.wait_notified("READY=1")
        except AssertionError:
            self.assertIn(str(fifo), agent.log())
            return
        agent.wait_keys()
        self.assert_signs_nevertheless(agent, token)

    def test_rotated_file_is_opened_anew_at_reload(self):
        token, agent = self.audited()
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
            self.lines(agent, 1)
            agent.audit_file.rename(agent.dir / "audit.1")
            agent.reload()
            self.sign(client, token.keys["work"])
        self.lines(agent, 1)
        self.assertEqual(len((agent.dir / "audit.1").read_text().splitlines()), 1)

    def test_existing_lines_are_kept(self):
        token = self.faulty_token()
        agent = self.agent(start=False)
        agent.audit_file.write_text('{"old":1}\n')
        agent.audit_file.chmod(0o600)
        agent.configure(f"[agent]\naudit = file:{agent.audit_file}\n" + token.config())
        agent.start()
        agent.wait_keys()
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
        poll_until(lambda: len(agent.audit()) == 2)
        self.assertEqual(agent.audit()[0], '{"old":1}')

    def test_symlink_is_refused_or_not_followed(self):
        token = self.faulty_token()
        agent = self.agent(start=False)
        target = agent.dir / "target"
        target.write_text("")
        agent.audit_file.symlink_to(target)
        agent.configure(f"[agent]\naudit = file:{agent.audit_file}\n" + token.config())
        agent.launch()
        try:
            agent.wait_notified("READY=1")
            agent.wait_keys()
            with agent.connect() as client:
                self.sign(client, token.keys["work"])
        except AssertionError:
            self.assertIn(str(agent.audit_file), agent.log())
        self.assertEqual(target.read_text(), "")

    def test_off(self):
        token, agent = self.audited(audit="off")
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
        self.assertNotIn("ecdsa_secp256r1_sha256", agent.log())

    def test_without_a_journal_the_line_is_in_the_log(self):
        """No `audit =` and no journal on the machine: the audit does not fall away silently."""
        if os.path.exists("/run/systemd/journal/socket"):
            self.skipTest("the journal is there")
        token = self.faulty_token()
        agent = self.serve(token)
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
        agent.wait_for_log(r"work.*ok|ok.*work")


@needs_mounts
class TestJournal(AuditTest):
    """A journald of our own: what a datagram socket at its path receives."""

    def setUp(self):
        super().setUp()
        self.journal_dir = Path(tempfile.mkdtemp(prefix="mtls-"))
        self.addCleanup(shutil.rmtree, self.journal_dir)
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.journal.close)
        self.journal.bind(str(self.journal_dir / "socket"))
        script = ("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && "
                  'mount --bind "$0" /run/systemd/journal && exec "$@"')
        self.wrap = ["unshare", "-m", "sh", "-c", script, str(self.journal_dir)]

    def entry(self):
        """The fields of one datagram, systemd.io/JOURNAL_NATIVE_PROTOCOL."""
        self.journal.settimeout(wire.DEADLINE)
        data, fields = self.journal.recv(65536), {}
        while data:
            name, data = data.split(b"\n", 1)
            length = int.from_bytes(data[:8], "little")
            fields[name.decode()] = data[8:8 + length].decode()
            self.assertEqual(data[8 + length:9 + length], b"\n")
            data = data[9 + length:]
        return fields

    def test_fields(self):
        token, agent = self.audited(audit="journal", wrap=self.wrap)
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
        entry = self.entry()
        self.assertEqual(
            {name: entry[name] for name in entry if name not in ("MESSAGE", "MTLS_AGENT_MS")},
            {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "mtls-agent", "MTLS_AGENT_AUDIT": "1",
             "MTLS_AGENT_UID": str(os.geteuid()), "MTLS_AGENT_PID": str(os.getpid()),
             "MTLS_AGENT_EXE": os.path.realpath(sys.executable),
             "MTLS_AGENT_UNIT": entry["MTLS_AGENT_UNIT"],
             "MTLS_AGENT_KEY": "work",
             "MTLS_AGENT_KEY_HASH": "sha256:" + token.keys["work"].hash.hex(),
             "MTLS_AGENT_KIND": "tls13", "MTLS_AGENT_SCHEME": "ecdsa_secp256r1_sha256",
             "MTLS_AGENT_RESULT": "ok", "MTLS_AGENT_REASON": "", "MTLS_AGENT_CLIENT_GONE": "0"})
        self.assertIn("signed tls13 with key", entry["MESSAGE"])
        self.assertTrue(entry["MTLS_AGENT_MS"].isdigit())

    def test_journal_that_does_not_read_holds_up_nothing(self):
        token, agent = self.audited(audit="journal", wrap=self.wrap)
        with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as limit:
            count = int(limit.read()) + 20
        with agent.connect() as client:
            for _ in range(count):
                self.sign(client, token.keys["work"])
        agent.wait_for_log("1 audit records could not be written: the journal does not read")
        while self.journal in select.select([self.journal], [], [], 0)[0]:
            self.entry()
        with agent.connect() as client:
            self.sign(client, token.keys["work"])
        self.assertEqual(self.entry()["MTLS_AGENT_RESULT"], "ok")


if __name__ == "__main__":
    main()
