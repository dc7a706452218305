# SPDX-License-Identifier: Apache-2.0
"""The whole path: keys on a token, an agent, a server that wants certificates, real programs.

`E2ETest` has them for a class; a test runs a program "through `mtls run`" or "directly", with an
OPENSSL_CONF of its own, and looks at what the server verified.
"""

import os
import select
import subprocess
import unittest

import harness
from harness import BUILD_ROOT, MTLS_BIN, PROVIDER_DIR, IntegrationTest
from servers import Nginx

RUN_SECONDS = 30
SSL_CLIENT = BUILD_ROOT / "tests/tools/ssl-client"

OPENSSL_CONF = """openssl_conf = init
[init]
providers = providers
[providers]
default = default_section
mtls-agent = agent_section
[default_section]
activate = 1
[agent_section]
activate = 1
"""


class E2ETest(IntegrationTest):
    KEYS = {"work": "EC:prime256v1", "rsa": "rsa:2048"}

    @classmethod
    def setUpClass(cls):
        if os.environ.get("MTLS_SANITIZE", "none") != "none":
            raise unittest.SkipTest("programs of the system cannot load a sanitized provider")
        cls.token = cls.class_token()
        for label, kind in cls.KEYS.items():
            cls.token.key(label, kind)
        cls.agent = harness.Agent()
        cls.addClassCleanup(cls.agent.end)
        cls.agent.configure(f"[agent]\naudit = file:{cls.agent.audit_file}\n" + cls.token.config())
        cls.agent.start()
        cls.agent.wait_keys(len(cls.KEYS))
        cls.nginx = Nginx(cls.token.ca)
        cls.addClassCleanup(cls.nginx.end)
        cls.nginx.start()
        cls.conf = cls.token.dir / "openssl.cnf"
        cls.conf.write_text(OPENSSL_CONF)
        for label in cls.KEYS:
            cls.mtls("key-ref", label, "-o", cls.key_file(label))
            cls.cert_file(label).write_text(cls.mtls("cert", label))

    @classmethod
    def key_file(cls, label):
        return cls.token.dir / f"{label}.key-ref.pem"

    @classmethod
    def cert_file(cls, label):
        return cls.token.dir / f"{label}.cert.pem"

    @classmethod
    def base_environment(cls):
        return {"PATH": os.environ["PATH"], "HOME": str(cls.token.dir), "LC_ALL": "C.UTF-8",
                "MTLS_AGENT_SOCK": str(cls.agent.socket), "OPENSSL_MODULES": PROVIDER_DIR,
                **{name: os.environ[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS", "LSAN_OPTIONS",
                                                       "UBSAN_OPTIONS") if name in os.environ}}

    @classmethod
    def mtls(cls, *args):
        done = subprocess.run([MTLS_BIN, *map(str, args)], env=cls.base_environment(), text=True,
                              capture_output=True, timeout=RUN_SECONDS, check=False)
        if done.returncode != 0:
            raise AssertionError(f"mtls {args}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    def run_program(self, *args, env=None, data=None):
        """A program with a bounded time; what it printed, its exit code in .returncode."""
        return subprocess.run(list(map(str, args)), env={**self.base_environment(), **(env or {})},
                              input=data, text=True, capture_output=True, timeout=RUN_SECONDS,
                              cwd=self.token.dir, check=False)

    def run_direct(self, label, *args, data=None):
        """With OPENSSL_CONF alone; $MTLS_CERT and $MTLS_KEY as under `mtls run`."""
        return self.run_program(*args, data=data, env={
            "OPENSSL_CONF": str(self.conf), "MTLS_CERT": str(self.cert_file(label)),
            "MTLS_KEY": str(self.key_file(label))})

    def run_wrapped(self, label, *args, data=None):
        return self.run_program(MTLS_BIN, "run", "--key", label, "--", *args, data=data)

    def assert_verified(self, done, label, version=None):
        """The server verified this key's certificate (over this version of TLS)."""
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}\n{self.nginx.log()}")
        self.assertIn(f"CN={label}|TLSv{version or ''}", done.stdout, done.stderr)

    def combinations(self, keys=None):
        """Every way to run, key and version, as sub-tests."""
        for way in (self.run_wrapped, self.run_direct):
            for label in keys or self.KEYS:
                for version in ("1.2", "1.3"):
                    with self.subTest(way=way.__name__, key=label, version=version):
                        yield way, label, version


# A program that does one thing per line of its input and prints what the server said.
PROGRAM = r"""
import os, socket, ssl, sys, threading

def context():
    made = ssl.create_default_context(cafile=sys.argv[2])
    made.load_cert_chain(sys.argv[3], sys.argv[4])
    return made

def get(made):
    try:
        made = made or context()
        with socket.create_connection(("localhost", int(sys.argv[1])), 30) as raw:
            with made.wrap_socket(raw, server_hostname="localhost") as tls:
                tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                text = b""
                while chunk := tls.recv(4096):
                    text += chunk
        return text.decode().split("\r\n\r\n")[1].split("|")[0].strip()
    except Exception as error:
        return "error " + repr(error)

def in_threads(made, count):
    said = []
    threads = [threading.Thread(target=lambda: said.append(get(made))) for _ in range(count)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return " ".join(sorted(set(said))) + f" x{len(said)}"

def in_child(made):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, get(made).encode())
        os._exit(0)
    os.close(writer)
    status = os.waitpid(pid, 0)[1]
    return os.read(reader, 4096).decode() + (f" status {status}" if status else "")

def fork_from_thread(made):
    said = []
    thread = threading.Thread(target=lambda: said.append(in_child(made)))
    thread.start(); thread.join()
    return said[0]

def execute(made):
    said = get(made)
    sys.stdout.write(said + " "); sys.stdout.flush()
    os.execvp("sh", ["sh", "-c", "echo $(for fd in /proc/$$/fd/*; do readlink $fd; done)"])

shared = None
for line in sys.stdin:
    word = line.strip()
    try:
        shared = shared or context()
    except Exception:
        pass
    print({"get": lambda: get(shared), "fresh": lambda: get(None),
           "threads": lambda: in_threads(shared, 8), "fork": lambda: in_child(shared),
           "fork-in-thread": lambda: fork_from_thread(shared),
           "exec": lambda: execute(shared)}[word](), flush=True)
"""


class Program:
    """The program above, driven line by line."""

    def __init__(self, test, label="work", env=None):
        self.process = test.start_process(
            "python3", "-c", PROGRAM, str(test.nginx.port), test.token.ca.path,
            test.cert_file(label), test.key_file(label), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**test.base_environment(), "OPENSSL_CONF": str(test.conf), **(env or {})})

    def say(self, word, deadline=30):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], deadline)[0]:
            raise AssertionError(f"{word}: nothing for {deadline} s")
        return self.process.stdout.readline().strip()

    def finish(self):
        """End of input; the exit code and what went to standard error."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


main = harness.main
