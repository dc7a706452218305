# SPDX-License-Identifier: Apache-2.0
"""For the tests of the provider in unmodified programs: a fake agent with one software key of each
type, key reference files written here (not by the project's own encoder), the configuration file,
and openssl s_server as the server that wants a client certificate."""

import base64
import os
import re
import select
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from servers import free_port

BUILD_ROOT = Path(os.environ.get("MTLS_BUILD_ROOT") or Path(__file__).resolve().parents[2] / "build")
PROVIDER_DIR = os.environ.get("MTLS_PROVIDER_DIR") or str(BUILD_ROOT / "client/provider")
PROVIDER = Path(PROVIDER_DIR) / "mtls-agent.so"
FAKE_AGENT = str(BUILD_ROOT / "tests/tools/fake-agent")
DEADLINE = 30

CONF = """openssl_conf = openssl_init
[openssl_init]
providers = provider_section
[provider_section]
{order}
[default_section]
activate = 1
[mtls_agent_section]
activate = 1
{options}
"""
DEFAULT_FIRST = "default = default_section\nmtls-agent = mtls_agent_section"
DEFAULT_LAST = "mtls-agent = mtls_agent_section\ndefault = default_section"

KEYS = {
    "p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "pss": ["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ed25519": ["ED25519"],
}


def der(tag, content):
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def reference(uri):
    body = der(0x30, der(0x0c, b"mtls-agent key reference 1") + der(0x0c, uri.encode()))
    lines = re.findall(".{1,64}", base64.b64encode(body).decode())
    label = "MTLS AGENT KEY REFERENCE"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def run(*args, env=None, check=True, stdin=b"", timeout=DEADLINE):
    """A program to its end; by default with the machine's own OpenSSL configuration left out."""
    done = subprocess.run([os.fspath(a) for a in args], input=stdin, capture_output=True,
                          env=env or PLAIN, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{args}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done


PLAIN = {"PATH": os.environ["PATH"], "OPENSSL_CONF": "/dev/null", "LC_ALL": "C"}


class ProviderTest(unittest.TestCase):
    """One directory with keys, certificates and references for the class; agents per test."""

    @classmethod
    def setUpClass(cls):
        if os.environ.get("MTLS_SANITIZE", "none") != "none":
            raise unittest.SkipTest("programs of the system cannot load a sanitized module")
        cls.dir = Path(tempfile.mkdtemp(prefix="mtls-provider-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        for name, algorithm in KEYS.items():
            run("openssl", "genpkey", "-out", cls.key(name), "-algorithm", *algorithm)
            run("openssl", "req", "-x509", "-new", "-key", cls.key(name), "-subj", f"/CN={name}",
                "-days", "2", "-out", cls.cert(name), "-config", "/etc/ssl/openssl.cnf")
            cls.reference(name).write_text(reference(f"mtls-agent:{name}"))
            (cls.dir / f"{name}.both").write_text(
                cls.cert(name).read_text() + cls.reference(name).read_text())
        (cls.dir / "all.crt").write_text("".join(cls.cert(n).read_text() for n in KEYS))

    @classmethod
    def key(cls, name):
        return cls.dir / f"{name}.key"

    @classmethod
    def cert(cls, name):
        return cls.dir / f"{name}.crt"

    @classmethod
    def reference(cls, name):
        return cls.dir / f"{name}.ref"

    def setUp(self):
        self.socket = self.dir / "agent.sock"
        self.log_file = self.dir / "agent.log"
        for left in (self.log_file, self.socket):
            left.unlink(missing_ok=True)
        self.conf = self.write_conf()

    def write_conf(self, order=DEFAULT_FIRST, options=""):
        path = self.dir / "openssl.cnf"
        path.write_text(CONF.format(order=order, options=options))
        return path

    def env(self, **more):
        return {**PLAIN, "OPENSSL_CONF": str(self.conf), "OPENSSL_MODULES": PROVIDER_DIR,
                "MTLS_AGENT_SOCK": str(self.socket), **more}

    def log(self):
        return self.log_file.read_text().splitlines() if self.log_file.exists() else []

    def requests(self, word):
        return [line for line in self.log() if line.split(" ")[0] == word]

    def start(self, *args, until=None, **kwargs):
        """A process that ends with the test; @until: wait for this line of its output."""
        process = subprocess.Popen([os.fspath(a) for a in args], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
                                   env=kwargs.pop("env", PLAIN), **kwargs)
        self.addCleanup(self.end, process)
        while until:
            if not select.select([process.stdout], [], [], DEADLINE)[0]:
                raise AssertionError(f"{args[0]}: no {until}")
            line = process.stdout.readline()
            if not line:
                raise AssertionError(f"{args[0]} ended with {process.wait()} before {until}")
            if line.strip() == until:
                break
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def agent(self, *options):
        keys = [f"{self.key(n)}:{self.cert(n)}:{n}" for n in KEYS]
        return self.start(FAKE_AGENT, "--log", self.log_file, *options, self.socket, *keys,
                          until=b"ready")

    def server(self, *options, verify=True):
        """s_server that verifies the client and shows its certificate; returns the port."""
        port = free_port()
        wants = ["-Verify", "2", "-verify_return_error"] if verify else []
        self.start("openssl", "s_server", "-accept", str(port), "-cert", self.cert("p256"), "-key",
                   self.key("p256"), "-CAfile", self.dir / "all.crt", "-www", *wants, *options,
                   until=b"ACCEPT")
        return port

    def client(self, port, name, *options, key=None, check=True):
        """s_client with a key of the agent; what the server said."""
        done = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-cert",
                   self.cert(name), "-key", key or self.reference(name), "-CAfile",
                   self.dir / "all.crt", "-ign_eof", "-quiet", *options,
                   env=self.env(), stdin=b"GET / HTTP/1.0\r\n\r\n", check=False)
        text = done.stdout.decode(errors="replace")
        if check:
            self.assertIn("HTTP/1.0 200", text, done.stderr.decode(errors="replace"))
            self.assertIn(f"Subject: CN = {name}", text.replace("CN=", "CN = "))
        return text


def main():
    unittest.main(verbosity=2)
