# SPDX-License-Identifier: Apache-2.0
"""The ways to a key that the bench compares, each with a token directory of its own.

Direct: the module in the client's process. P11Kit: `p11-kit server` and its client module. Agent:
ours. Pem: OpenSSL with the key in a file. All but Pem hold copies of one token, so that they sign
with the same keys; SoftHSM processes that share a directory would disturb each other.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402
from clients import Broken, Clients  # noqa: E402
from softhsm import CA, MODULE, TokenDir, run  # noqa: E402

P11_KIT_CLIENT = next(Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so"),
                      Path("/usr/lib/pkcs11/p11-kit-client.so"))
KEYS = {"ec": "EC:prime256v1", "rsa": "rsa:2048"}
BENCH = harness.BUILD_ROOT / "tests/bench"
PKCS11_MODULE = harness.BUILD_ROOT / "client/module/mtls-agent-pkcs11.so"


class Peer:
    """What all ways have in common. `pids` are the processes that work for the clients."""

    name = ""

    def __init__(self, bench):
        self.bench = bench
        self.pids = []

    def command(self, kind, *args):
        """(command, environment) of a client that signs with the `kind` key."""
        raise NotImplementedError

    def clients(self, kind, processes=1, args=()):
        """Clients that stand ready; the caller ends them."""
        return Clients(self.command(kind, *args) for _ in range(processes))

    def spawner(self, kind):
        """A program that starts fresh clients, each for one signature."""
        command, env = self.command(kind, "--once")
        return Clients([([BENCH / "bench-spawn", *command], env)])

    def end(self):
        pass


def kind_args(kind):
    return ["--key", kind] + (["--rsa"] if kind == "rsa" else [])


class Direct(Peer):
    """The module in process. Several processes get a copy of the token each."""

    name = "direct"

    def command(self, kind, *args):
        token = self.bench.token_copy()
        return ([BENCH / "bench-sign-module", *kind_args(kind), "--module", MODULE, "--token",
                 token.label, "--pin", token.pin, *args], {"SOFTHSM2_CONF": str(token.conf)})


class Floor(Direct):
    """The module behind two processes that only pass bytes on: what no agent can beat."""

    name = "floor"

    def command(self, kind, *args):
        return super().command(kind, "--relay", *args)


class Pem(Peer):
    """OpenSSL with a key file."""

    name = "pem"

    def __init__(self, bench):
        super().__init__(bench)
        self.keys = {kind: bench.dir / f"pem-{kind}.key" for kind in KEYS}
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", self.keys["ec"])
        run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
            "-out", self.keys["rsa"])
        self.cert = bench.dir / "pem-ec.pem"
        public = run("openssl", "pkey", "-in", self.keys["ec"], "-pubout")
        self.cert.write_bytes(bench.ca.issue(public, "/CN=pem"))

    def command(self, kind, *args):
        words = ["--key", self.keys[kind]] + (["--rsa"] if kind == "rsa" else [])
        return [BENCH / "bench-sign-pem", *words, *args], {}


class P11Kit(Peer):
    """`p11-kit server`, which serves each client in a process of its own."""

    name = "p11-kit"

    def __init__(self, bench):
        super().__init__(bench)
        if not P11_KIT_CLIENT.exists():
            raise Broken(f"{P11_KIT_CLIENT} is missing: install p11-kit-modules")
        self.token = bench.token_copy()
        self.runtime = bench.dir / "p11-kit"
        self.runtime.mkdir(mode=0o700)
        self.socket = self.runtime / "server"
        self.server = subprocess.Popen(
            ["p11-kit", "server", "--foreground", "--sh", "--name", self.socket, "--provider",
             MODULE, "pkcs11:"], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "SOFTHSM2_CONF": str(self.token.conf),
                 "XDG_RUNTIME_DIR": str(self.runtime)})
        if "P11_KIT_SERVER_ADDRESS" not in self.server.stdout.readline():
            raise Broken("p11-kit server did not start")
        self.pids = [self.server.pid]

    @property
    def environment(self):
        return {"P11_KIT_SERVER_ADDRESS": f"unix:path={self.socket}"}

    def command(self, kind, *args):
        return ([BENCH / "bench-sign-module", *kind_args(kind), "--module", P11_KIT_CLIENT,
                 "--token", self.token.label, "--pin", self.token.pin, *args], self.environment)

    def end(self):
        self.server.terminate()
        self.server.wait()
        self.server.stdout.close()


class Agent(Peer):
    """mtls-agent with its workers."""

    name = "agent"

    def __init__(self, bench):
        super().__init__(bench)
        token = bench.token_copy()
        # what comes through PKCS#11 are digests
        digests = "".join(f"\n[key {kind}]\nuri = pkcs11:object={kind}\nsign = digest\n"
                          for kind in KEYS)
        self.daemon = harness.Agent(token.config() + digests)
        try:
            self.daemon.start()
            self.daemon.wait_keys(len(KEYS), 60)
        except AssertionError as error:
            self.daemon.end()
            raise Broken(str(error)) from error
        self.pids = [self.daemon.pid]

    @property
    def environment(self):
        return {"MTLS_AGENT_SOCK": str(self.daemon.socket)}

    def command(self, kind, *args):
        return [BENCH / "bench-sign-agent", *kind_args(kind), *args], self.environment

    def end(self):
        self.daemon.end()


class Module(Peer):
    """mtls-agent, through its module for PKCS#11 programs."""

    name = "module"

    def __init__(self, bench):
        super().__init__(bench)
        self.agent = bench.peer("agent")
        self.pids = self.agent.pids

    @property
    def environment(self):
        return self.agent.environment

    def command(self, kind, *args):
        return ([BENCH / "bench-sign-module", *kind_args(kind), "--module", PKCS11_MODULE,
                 "--token", self.bench.master.label, "--pin", self.bench.master.pin, *args],
                self.environment)


class Server:
    """nginx on 127.0.0.1 that wants a client certificate of the bench's CA; TLS 1.3 only."""

    CONF = """
daemon off; worker_processes auto; pid {dir}/pid; error_log {dir}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    server {{
        listen 127.0.0.1:{port} ssl backlog=1024;
        ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key;
        ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
        ssl_client_certificate {ca}; ssl_verify_client on;
        location / {{ return 200 "$ssl_client_s_dn\\n"; }}
    }}
}}
"""

    def __init__(self, bench):
        self.dir = bench.dir / "nginx"
        self.dir.mkdir()
        self.ca = bench.ca.path
        key = self.dir / "server.key"
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", key)
        public = run("openssl", "pkey", "-in", key, "-pubout")
        (self.dir / "server.pem").write_bytes(
            bench.ca.issue(public, "/CN=localhost", usage="serverAuth",
                           names="DNS:localhost,IP:127.0.0.1"))
        self.port = free_port()
        conf = self.dir / "nginx.conf"
        conf.write_text(self.CONF.format(dir=self.dir, port=self.port, ca=self.ca))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", conf, "-e",
                                         self.dir / "error.log"])
        harness.poll_until(lambda: can_connect(self.port), 20, "nginx listens")

    @property
    def url(self):
        return f"https://localhost:{self.port}/"

    def end(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def can_connect(port):
    import socket
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Bench:
    """The directory of one run, the token that is copied, the CA; peers are made when first used."""

    KINDS = {kind.name: kind for kind in (Direct, Floor, Pem, P11Kit, Agent, Module)}

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-bench-"))
        self._peers = {}
        self._server = None
        self._copies = 0
        self.ca = CA(self.dir, "Bench CA")
        (self.dir / "master").mkdir()
        self.master = TokenDir(label="bench", directory=self.dir / "master")
        for label, kind in KEYS.items():
            key = self.master.key(label, kind, cert=False)
            key.cert = self.ca.issue(harness.softhsm.pem_from_spki(key.spki), f"/CN={label}")
            self.master.write_cert(key)
        self.cert = self.dir / "token-ec.pem"
        self.cert.write_bytes(self.master.keys["ec"].cert)

    def token_copy(self):
        """The same token in a directory of its own."""
        self._copies += 1
        copy = object.__new__(TokenDir)
        copy.__dict__.update(self.master.__dict__)
        copy.dir = self.dir / f"token-{self._copies}"
        shutil.copytree(self.master.dir, copy.dir)
        copy.conf = copy.dir / "softhsm2.conf"
        copy.conf.write_text(f"directories.tokendir = {copy.dir}/tokens\n"
                             "objectstore.backend = file\nlog.level = ERROR\n")
        copy.pin_file = copy.dir / "pin"
        copy.set_pin_file(copy.pin)
        return copy

    @contextlib.contextmanager
    def token_with_certificates(self, count):
        """The environment of an agent whose token has @count keys with a certificate each."""
        memory = Path("/dev/shm")  # SoftHSM syncs every object to the disk
        tmp = memory if os.access(memory, os.W_OK) else self.dir
        token = Path(run(BENCH / "bench-token", str(count),
                         env={**os.environ, "TMPDIR": str(tmp)}).decode().strip())
        (token / "pin").write_text("123456\n")
        (token / "pin").chmod(0o600)
        daemon = harness.Agent(f"[module softhsm]\npath = {MODULE}\nworkers = 1\n"
                               f"environment = SOFTHSM2_CONF={token}/softhsm2.conf\n"
                               f"[token many]\nuri = pkcs11:token=many\npin = file:{token}/pin\n")
        try:
            daemon.start()
            daemon.wait_keys(count, 120)
            yield {"MTLS_AGENT_SOCK": str(daemon.socket)}
        finally:
            daemon.end()
            shutil.rmtree(token, ignore_errors=True)

    def peer(self, name):
        if name not in self._peers:
            self._peers[name] = self.KINDS[name](self)
        return self._peers[name]

    @property
    def server(self):
        self._server = self._server or Server(self)
        return self._server

    def end(self):
        for peer in self._peers.values():
            peer.end()
        if self._server:
            self._server.end()
        shutil.rmtree(self.dir, ignore_errors=True)
