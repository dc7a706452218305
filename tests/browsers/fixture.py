# SPDX-License-Identifier: Apache-2.0
"""What the tests of heavy programs stand on: a token, its agent, servers that want certificates.

Owns: one key for each kind, under a CA of its own, and one nginx for each, which takes certificates
of that CA alone: so whoever chooses by what the server asks for has no choice. `Tap` stands between
the programs and the agent and counts what they ask.
"""

import contextlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402
import softhsm  # noqa: E402
from harness import BUILD_ROOT, IntegrationTest, poll_until  # noqa: E402
from servers import Nginx  # noqa: E402
from wire import Type  # noqa: E402

MODULE = Path(os.environ.get("MTLS_PKCS11_MODULE") or
              BUILD_ROOT / "client/module/mtls-agent-pkcs11.so")
SCREENSHOTS = BUILD_ROOT / "screenshots"
MUST_HAVE = os.environ.get("MTLS_REQUIRE_PROGRAMS") == "1"
RUN_SECONDS = 60


def need(program, package):
    """The program must be there; where a run must be complete its absence is a failure."""
    if shutil.which(program):
        return
    text = f"{program} is missing: install {package}"
    raise AssertionError(text) if MUST_HAVE else unittest.SkipTest(text)


class Tap:
    """A socket in front of the agent's; `counts` has the frames by type that programs sent."""

    def __init__(self, path, agent_socket):
        self.path, self.agent_socket = path, agent_socket
        self.counts = Counter()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                program = self._listener.accept()[0]
            except OSError:  # the end
                return
            threading.Thread(target=self._serve, args=(program,), daemon=True).start()

    def _serve(self, program):
        """Pass bytes on, until one side is at its end."""
        pending = b""
        with contextlib.suppress(OSError), program, socket.socket(socket.AF_UNIX) as agent:
            agent.connect(str(self.agent_socket))
            other = {program: agent, agent: program}
            while True:
                for source in select.select(list(other), [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is program:
                        pending = self._count(pending + data)
                    other[source].sendall(data)

    def _count(self, data):
        """What is left of @data behind its last whole frame."""
        while len(data) >= 5 and len(data) >= 4 + (size := int.from_bytes(data[:4], "big")):
            self.counts[Type(data[4])] += 1
            data = data[4 + size:]
        return data

    def end(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Site(Nginx):
    """nginx that notes each request's connection, so that its handshakes can be counted."""

    def __init__(self, ca):
        super().__init__(ca)
        self.requests = self.dir / "requests"
        self.http = (f"log_format x '$connection $ssl_session_reused $ssl_client_verify'; "
                     f"access_log {self.requests} x;")

    def handshakes(self):
        """The connections, by number, whose client proved a key: a resumed one did not again."""
        if not self.requests.exists():
            return set()
        return set(re.findall(r"^(\d+) \. SUCCESS$", self.requests.read_text(), re.M))


class ProgramTest(IntegrationTest):
    """A token, an agent and the servers for a class; each test has a home directory of its own."""

    KEYS = {"ec": "EC:prime256v1", "rsa": "rsa:2048", "tls": "EC:prime256v1"}
    UNCHECKED = ("ec", "rsa")  # what the agent signs as bare digests; "tls" is left at the default
    PROGRAMS = {}              # command: package

    @classmethod
    def setUpClass(cls):
        if os.environ.get("MTLS_SANITIZE", "none") != "none":
            raise unittest.SkipTest("programs of the system cannot load a sanitized module")
        for program, package in {"certutil": "libnss3-tools", **cls.PROGRAMS}.items():
            need(program, package)
        if not MODULE.exists():
            raise AssertionError(f"{MODULE} is not built")
        cls.token = cls.class_token()
        cls.sites = {}
        for label, kind in cls.KEYS.items():
            cls.add_site(label, kind)
        cls.agent = harness.Agent()
        cls.addClassCleanup(cls.agent.end)
        cls.agent.configure(cls.config())
        cls.agent.start()
        cls.agent.wait_keys(len(cls.KEYS))
        cls.tap = Tap(cls.agent.run_dir / "tap.sock", cls.agent.socket)
        cls.addClassCleanup(cls.tap.end)

    @classmethod
    def add_site(cls, label, kind):
        ca = softhsm.CA(cls.token.dir, f"{label} CA")
        key = cls.token.key(label, kind, cert=False)
        key.cert = ca.issue(softhsm.pem_from_spki(key.spki), f"/CN={label}")
        cls.token.write_cert(key)
        cls.sites[label] = Site(ca)
        cls.addClassCleanup(cls.sites[label].end)
        cls.sites[label].start()

    @classmethod
    def config(cls):
        sections = "".join(f"[key {label}]\nuri = pkcs11:object={label}\nsign = digest\n"
                           for label in cls.UNCHECKED)
        return f"[agent]\naudit = file:{cls.agent.audit_file}\n{cls.token.config()}{sections}"

    def setUp(self):
        self.home = Path(tempfile.mkdtemp(prefix="mtls-home-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8",
                            "TMPDIR": str(self.home), "MTLS_AGENT_SOCK": str(self.tap.path)}
        self.mark()

    def mark(self):
        """What the agent and the servers see is counted from here on."""
        self.tap.counts.clear()
        self.audited = len(self.agent.audit())
        self.shaken = {label: site.handshakes() for label, site in self.sites.items()}

    # ---- running

    def run_program(self, *args):
        """A program with a bounded time; what it printed, its exit code in .returncode."""
        return subprocess.run(list(map(str, args)), env=self.environment, stdin=subprocess.DEVNULL,
                              text=True, capture_output=True, timeout=RUN_SECONDS, cwd=self.home,
                              check=False)

    def must_run(self, *args):
        done = self.run_program(*args)
        self.assertEqual(done.returncode, 0, f"{args}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def nss_database(self, directory):
        """An NSS database that trusts the servers' CAs and has the module: certutil and modutil."""
        directory.mkdir(parents=True, exist_ok=True)
        database = f"sql:{directory}"
        self.must_run("certutil", "-N", "-d", database, "--empty-password")
        for label, site in self.sites.items():
            self.must_run("certutil", "-A", "-d", database, "-n", f"ca-{label}", "-t", "C,,", "-i",
                          site.ca.path)
        self.must_run("modutil", "-force", "-dbdir", database, "-add", "mtls-agent", "-libfile",
                      MODULE)
        return database

    # ---- what the agent and the servers saw

    def signatures(self):
        """The audit's lines of this test, parsed."""
        return [json.loads(line) for line in self.agent.audit()[self.audited:]]

    def assert_signed(self, *labels, kinds=("digest", "tls12", "tls13")):
        """With these keys one signature for each of this test's handshakes, with no other any."""
        shaken = {label: len(self.sites[label].handshakes() - self.shaken[label])
                  for label in labels}
        self.assertNotIn(0, shaken.values())
        lines = self.signatures()
        self.assertEqual(Counter((line["key"], line["result"]) for line in lines),
                         {(label, "ok"): count for label, count in shaken.items()})
        self.assertLessEqual({line["kind"] for line in lines}, set(kinds))

    def assert_refused(self, label):
        """The agent was asked, refused, and said what to change; some programs try once more."""
        lines = {(line["key"], line["kind"], line["result"]) for line in self.signatures()}
        self.assertEqual(lines, {(label, "digest", "policy")})
        status = self.must_run(harness.MTLS_BIN, "status")
        self.assertIn(f'digest with key "{label}"', status)
        self.assertIn("sign = digest", status)

    def assert_few_round_trips(self):
        """Who it is, the list and the events, once for each connection; else signatures alone."""
        counts = dict(self.tap.counts)
        connections = counts.pop(Type.HELLO)
        self.assertEqual(counts.pop(Type.SIGN), len(self.signatures()))
        for kind in (Type.LIST, Type.SUBSCRIBE):
            self.assertLessEqual(counts.pop(kind, 0), connections)
        self.assertEqual(counts, {})


main = harness.main

__all__ = ["MODULE", "ProgramTest", "SCREENSHOTS", "Tap", "main", "poll_until"]
