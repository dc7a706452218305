# SPDX-License-Identifier: Apache-2.0
"""What the tests of real programs stand on: keys on a token, an agent, the module's path.

`ProgramsTest` has them for a class: `work` and its like may sign bare digests, `strict` may not.
A program is given the module with `self.run_program(...)`, or by p11-kit's registration with
`self.run_registered(...)`; what it signed with is in the agent's audit. A class whose programs are
not installed is skipped, where they are required (MTLS_REQUIRE_PROGRAMS=1, as in CI's lane) it fails.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402
import provider  # noqa: E402
from harness import BUILD_ROOT, IntegrationTest, can_run, main, poll_until  # noqa: E402
from servers import (Nginx, Postgres, free_port, issue_server,  # noqa: E402
                     listens)

__all__ = ["GIT_HTTP_BACKEND", "Logged", "MODULE", "Nginx", "PKCS11_ENGINE", "PKCS11_PROVIDER",
           "POSTGRES", "Postgres", "ProgramsTest", "find_program", "free_port", "issue_server",
           "listens", "main", "poll_until", "provider"]

MODULE = os.environ.get("MTLS_PKCS11_MODULE") or str(BUILD_ROOT /
                                                     "client/module/mtls-agent-pkcs11.so")
REQUIRED = os.environ.get("MTLS_REQUIRE_PROGRAMS") == "1"
RUN_SECONDS = 60
SEARCHED = os.environ["PATH"] + ":/usr/sbin:/sbin"

# A p11-kit directory that every program of the machine reads, root's as well.
REGISTRY = Path("/usr/share/p11-kit/modules")

# Where Debian has what is no command.
GIT_HTTP_BACKEND = "/usr/lib/git-core/git-http-backend"
PKCS11_ENGINE = "/usr/lib/*/engines-3/pkcs11.so"
PKCS11_PROVIDER = "/usr/lib/*/ossl-modules/pkcs11.so"
POSTGRES = "/usr/lib/postgresql/*/bin/initdb"

# The packages that are not called like the program.
PACKAGES = {"gnutls-cli": "gnutls-bin", "nginx": "nginx-light", "p11tool": "gnutls-bin",
            "pkcs11-tool": "opensc", "psql": "postgresql", "ssh": "openssh-client",
            "ssh-keygen": "openssh-client", "sshd": "openssh-server", "stunnel": "stunnel4",
            "unshare": "util-linux", GIT_HTTP_BACKEND: "git",
            PKCS11_ENGINE: "libengine-pkcs11-openssl", PKCS11_PROVIDER: "pkcs11-provider",
            POSTGRES: "postgresql"}


def find_program(name):
    """Its path; @name is a command or an absolute path, with * in it."""
    if name.startswith("/"):
        return next(map(str, Path("/").glob(name[1:])), None)
    return shutil.which(name, path=SEARCHED)


class Logged:
    """A process that writes to a file, which is looked at."""

    def __init__(self, test, *args, env=None):
        handle, self.path = tempfile.mkstemp(dir=test.home, suffix=".log")
        with os.fdopen(handle, "wb") as log:
            self.process = test.start_process(*map(str, args), stdin=subprocess.DEVNULL, stdout=log,
                                              stderr=log, env=env or {"PATH": os.environ["PATH"]})

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, pattern):
        """Until the log has it, or the process ended; whether it has."""
        poll_until(lambda: re.search(pattern, self.text()) or self.process.poll() is not None,
                   what=lambda: f"{pattern}:\n{self.text()}")
        return bool(re.search(pattern, self.text()))

    def end(self):
        self.process.terminate()
        self.process.wait()


class ProgramsTest(IntegrationTest):
    KEYS = {"work": "EC:prime256v1", "rsa": "rsa:2048", "ed": "EC:edwards25519",
            "strict": "EC:prime256v1"}
    CHECKED = ("ed", "strict")  # these keys sign what is seen to be TLS, and nothing else
    NEEDS = ()                  # programs, by command or path
    PIN = None                  # what else `pin =` of the token says

    @classmethod
    def setUpClass(cls):
        if os.environ.get("MTLS_SANITIZE", "none") != "none":
            raise unittest.SkipTest("programs of the system cannot load a sanitized module")
        cls.require(*cls.NEEDS)
        cls.token = cls.class_token()
        for label, kind in cls.KEYS.items():
            cls.token.key(label, kind)
        cls.home = cls.token.dir / "home"
        cls.home.mkdir(mode=0o700)
        cls.agent = harness.Agent()
        cls.addClassCleanup(cls.agent.end)
        cls.agent.configure(f"[agent]\naudit = file:{cls.agent.audit_file}\n" +
                            cls.token.config(pin=cls.PIN) + cls.sections())
        cls.agent.start()
        poll_until(cls.has_keys, what="the keys")
        for label in cls.KEYS:
            cls.cert_file(label).write_bytes(cls.token.keys[label].cert)
        cls._register()

    @classmethod
    def tearDownClass(cls):
        if cls.agent.process.poll() is not None:
            raise AssertionError(f"the agent ended:\n{cls.agent.log()}")

    @classmethod
    def has_keys(cls):
        """All are there; and ready, where the agent has the PIN."""
        with cls.agent.connect() as client:
            keys = [key for key in client.keys() if cls.PIN or key.state == harness.KeyState.READY]
        return len(keys) == len(cls.KEYS)

    @classmethod
    def sections(cls):
        return "".join(f"[key {label}]\nuri = pkcs11:object={label}\nsign = digest\n"
                       for label in cls.KEYS if label not in cls.CHECKED)

    @classmethod
    def require(cls, *programs):
        for program in programs:
            if not find_program(program):
                text = f"{program} is not there: install {PACKAGES.get(program, program)}"
                raise AssertionError(text) if REQUIRED else unittest.SkipTest(text)

    @classmethod
    def nginx_class(cls, **kwargs):
        """A server that demands certificates, for the class."""
        nginx = Nginx(cls.token.ca, **kwargs)
        cls.addClassCleanup(nginx.end)
        return nginx.start()

    # ---- what programs are given

    @classmethod
    def cert_file(cls, label):
        return cls.token.dir / f"{label}.cert.pem"

    @classmethod
    def uri(cls, label, kind):
        """@kind: "private" or "cert". Ed25519 keys are on the slot with a model of its own."""
        model = "mtls-agent%20EdDSA" if "edwards" in cls.KEYS[label] else "mtls-agent"
        return f"pkcs11:model={model};token={cls.token.label};object={label};type={kind}"

    @classmethod
    def public_file(cls, label):
        path = cls.token.dir / f"{label}.public.pem"
        path.write_bytes(harness.softhsm.pem_from_spki(cls.token.keys[label].spki))
        return path

    @classmethod
    def environment(cls):
        return {"PATH": SEARCHED, "HOME": str(cls.home), "LC_ALL": "C.UTF-8",
                "MTLS_AGENT_SOCK": str(cls.agent.socket)}

    @classmethod
    def _register(cls):
        """A .module file where a user has his, and where a mount puts it for root, who has none."""
        cls.registry = cls.home / ".config/pkcs11/modules"
        cls.registry.mkdir(parents=True)
        (cls.registry / "mtls-agent.module").write_text(f"module: {MODULE}\ncritical: yes\n")

    @classmethod
    def registered(cls, *args):
        """A command under which p11-kit knows the module, and as root no other."""
        if os.geteuid() != 0:
            return list(args)
        if not REQUIRED and not can_run("unshare", "-m", "true"):
            raise unittest.SkipTest("no mount namespace can be made here")
        return ["unshare", "--mount", "sh", "-ec",
                f"mount --bind {cls.registry} {REGISTRY}; exec \"$@\"", "sh", *args]

    # ---- running them

    def run_program(self, *args, env=None, data=None, binary=False):
        """A program with a bounded time; what it printed, its exit code in .returncode."""
        return subprocess.run(list(map(str, args)), env={**self.environment(), **(env or {})},
                              input=data, text=not binary, capture_output=True,
                              timeout=RUN_SECONDS, cwd=self.home, check=False)

    def run_registered(self, *args, **kwargs):
        return self.run_program(*self.registered(*args), **kwargs)

    def assert_done(self, done, *texts):
        """It ended well and said all of @texts (regular expressions)."""
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}\n{self.agent.log()}")
        for text in texts:
            self.assertRegex(done.stdout, text, done.stderr)
        return done

    # ---- what the agent saw of it

    def audit(self):
        return [json.loads(line) for line in self.agent.audit()]

    @contextlib.contextmanager
    def assert_signs(self, label, program, kind="digest", count=None):
        """
        A program has the agent sign with this key in here, at least once or just @count times, and
        nothing is refused. @program: what its name matches.
        """
        before = len(self.audit())
        yield
        lines = self.audit()[before:]
        self.assertEqual({(line["key"], line["kind"], line["result"]) for line in lines},
                         {(label, kind, "ok")}, lines)
        for line in lines:
            self.assertRegex(Path(line["exe"]).name, f"^({program})$")
        if count is not None:
            self.assertEqual(len(lines), count)

    @contextlib.contextmanager
    def assert_refused(self, label):
        """The agent refuses a digest for this key in here, signs none, and says what to change."""
        before = len(self.audit())
        yield
        lines = [line for line in self.audit()[before:] if line["key"] == label]
        self.assertEqual({line["result"] for line in lines}, {"policy"}, lines)
        self.assertIn("sign = digest", lines[0]["reason"])

    def assert_verifies(self, label, message, signature, tool, *options):
        """openssl's @tool, dgst or pkeyutl, verifies @signature over @message."""
        data, made = self.home / "verify.data", self.home / "verify.signature"
        data.write_bytes(message)
        made.write_bytes(signature)
        key = self.public_file(label)
        if tool == "dgst":
            args = ["-verify", key, "-signature", made, *options, data]
        else:
            args = ["-verify", "-pubin", "-inkey", key, "-in", data, "-sigfile", made, *options]
        done = self.run_program("openssl", tool, *args)
        self.assertRegex(done.stdout, "Verified OK|Signature Verified Successfully", done.stderr)
