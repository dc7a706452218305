# SPDX-License-Identifier: Apache-2.0
"""Servers that require a client certificate, on ports of their own: nginx, and PostgreSQL."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import softhsm
from harness import poll_until


_reserved = []


def free_port():
    """A port that is given to nobody else while this process lives.

    Its socket stays bound without listening: with SO_REUSEADDR, which servers set as well, one that
    names the port can have it, and whoever asks for any free port cannot.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    _reserved.append(probe)
    return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def issue_server(ca, directory):
    """A server key and certificate for localhost; (certificate, key) files."""
    key, cert = directory / "server.key", directory / "server.pem"
    softhsm.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-out", key)
    public = softhsm.run("openssl", "pkey", "-in", key, "-pubout")
    cert.write_bytes(ca.issue(public, "/CN=localhost", usage="serverAuth",
                              names="DNS:localhost,IP:127.0.0.1"))
    return cert, key


class Nginx:
    """nginx with ssl_verify_client on; answers with "DN|protocol|serial"."""

    BINARY = shutil.which("nginx") or "/usr/sbin/nginx"

    def __init__(self, ca, body="$ssl_client_s_dn|$ssl_protocol|$ssl_client_serial", extra="",
                 directives="", http="access_log off;", env=None):
        """@extra: further `server` blocks. @directives: in front of the events block, @http in http."""
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-nginx-"))
        self.ca, self.body, self.extra = ca, body, extra
        self.directives, self.http = directives, http
        self.cert, self.key = issue_server(ca, self.dir)
        self.port = free_port()
        self.env = {"PATH": os.environ["PATH"], **(env or {})}
        self.process = None

    def config(self):
        temp = "".join(f"{name}_temp_path {self.dir}/{name};" for name in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        return f"""{user} worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/error.log;
            {self.directives}
            events {{ worker_connections 256; }}
            http {{ {self.http} {temp}
              ssl_certificate {self.cert}; ssl_certificate_key {self.key};
              ssl_protocols TLSv1.2 TLSv1.3;
              server {{ listen 127.0.0.1:{self.port} ssl;
                ssl_client_certificate {self.ca.path}; ssl_verify_client on;
                location / {{ return 200 "{self.body}\\n"; }} }}
              {self.extra} }}"""

    def start(self):
        (self.dir / "nginx.conf").write_text(self.config())
        with open(self.dir / "error.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.BINARY, "-p", str(self.dir), "-c", "nginx.conf", "-e",
                 str(self.dir / "error.log"), "-g", "daemon off;"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        poll_until(lambda: listens(self.port) or self.process.poll() is not None, what="nginx")
        if self.process.poll() is not None:
            raise AssertionError(f"nginx ended:\n{self.log()}")
        return self

    @property
    def url(self):
        return f"https://localhost:{self.port}/"

    def log(self):
        return (self.dir / "error.log").read_text(errors="replace")

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Postgres:
    """A PostgreSQL cluster that lets in whoever has a certificate whose CN is the user's name."""

    BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    USER = "postgres"

    @classmethod
    def is_there(cls):
        try:
            pwd.getpwnam(cls.USER)
        except KeyError:
            return False
        return os.geteuid() == 0 and cls.BINARIES and (cls.BINARIES / "initdb").exists()

    def __init__(self, ca):
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-postgres-"))
        self.data = self.dir / "data"
        self.port = free_port()
        cert, key = issue_server(ca, self.dir)
        key.chmod(0o600)
        shutil.copy(ca.path, self.dir / "ca.pem")
        self._own()
        self._run("initdb", "-D", self.data, "-U", "work", "-A", "trust", "--no-sync")
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as conf:
            conf.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nfsync = off\n"
                       f"unix_socket_directories = '{self.dir}'\nssl = on\n"
                       f"ssl_cert_file = '{cert}'\nssl_key_file = '{key}'\n"
                       f"ssl_ca_file = '{self.dir}/ca.pem'\n")
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert\n")
        self.process = None

    def _own(self):
        user = pwd.getpwnam(self.USER)
        for path in [self.dir, *self.dir.iterdir()]:
            os.chown(path, user.pw_uid, user.pw_gid)

    def _command(self, program, *args):
        return ["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}", "--init-groups", "--",
                str(self.BINARIES / program), *map(str, args)]

    def _run(self, program, *args):
        softhsm.run(*self._command(program, *args), env={"PATH": os.environ["PATH"], "LC_ALL": "C"})

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(self._command("postgres", "-D", self.data),
                                            stdout=log, stderr=log, cwd="/",
                                            env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
        poll_until(lambda: listens(self.port) or self.process.poll() is not None, what="postgres")
        if self.process.poll() is not None:
            raise AssertionError((self.dir / "log").read_text())
        return self

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
