# SPDX-License-Identifier: Apache-2.0
"""A SoftHSM token in a directory of its own, with keys generated on the token.

Owns: the token directory, its configuration, a CA in software, certificates for the token's keys.
One token directory belongs to one test class: SoftHSM processes that share one are unreliable.
"""

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MODULE = next((p for p in ("/usr/lib/softhsm/libsofthsm2.so",
                           "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                           "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so")
               if os.path.exists(p)), "/usr/lib/softhsm/libsofthsm2.so")

# What stands before the public point in a SubjectPublicKeyInfo (RFC 5480, RFC 8410).
_SPKI_PREFIX = {
    "EC:prime256v1": "3059301306072a8648ce3d020106082a8648ce3d030107034200",
    "EC:secp384r1": "3076301006072a8648ce3d020106052b81040022036200",
    "EC:secp521r1": "30819b301006072a8648ce3d020106052b8104002303818600",
    "EC:edwards25519": "302a300506032b6570032100",
}


def run(*args, env=None, data=None):
    """A tool that must succeed; its output."""
    done = subprocess.run(list(map(os.fspath, args)), input=data, env=env, capture_output=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{args}: exit {done.returncode}\n{done.stdout.decode()}"
                           f"{done.stderr.decode()}")
    return done.stdout


def pem_from_spki(spki):
    return run("openssl", "pkey", "-pubin", "-inform", "DER", "-outform", "PEM", data=spki)


def der_from_pem(pem):
    return run("openssl", "x509", "-outform", "DER", data=pem)


@dataclass
class TokenKey:
    label: str
    id: bytes
    spki: bytes
    cert: bytes = b""  # PEM

    @property
    def hash(self):
        return hashlib.sha256(self.spki).digest()

    @property
    def cert_der(self):
        return der_from_pem(self.cert)


class CA:
    """A certificate authority in files; `pem` and `path` are its certificate."""

    def __init__(self, directory, name="Test CA", issuer=None):
        self.dir = Path(directory)
        stem = re.sub(r"\W", "_", name)
        self.key = self.dir / f"{stem}.key"
        self.path = self.dir / f"{stem}.pem"
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", self.key)
        if issuer:
            public = run("openssl", "pkey", "-in", self.key, "-pubout")
            self.path.write_bytes(issuer.issue(public, f"/CN={name}", ca=True))
        else:
            run("openssl", "req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign", "-days", "30", "-out", self.path)
        self.pem = self.path.read_bytes()

    def issue(self, public_pem, subject, ca=False, usage="clientAuth", names="", days=30):
        """A certificate (PEM) for a public key; no private key is needed for it."""
        with tempfile.TemporaryDirectory(dir=self.dir) as tmp:
            public, extensions = Path(tmp) / "public.pem", Path(tmp) / "extensions"
            public.write_bytes(public_pem)
            extensions.write_text(
                f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\n"
                f"keyUsage=critical,{'keyCertSign' if ca else 'digitalSignature'}\n"
                "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" +
                ("" if ca else f"extendedKeyUsage={usage}\n") +
                (f"subjectAltName={names}\n" if names else ""))
            return run("openssl", "x509", "-new", "-force_pubkey", public, "-CA", self.path,
                       "-CAkey", self.key, "-subj", subject, "-days", str(days), "-extfile",
                       extensions)


class TokenDir:
    """An initialised token. `key()` adds keys; `config()` is its part of agent.conf."""

    module = MODULE

    def __init__(self, label="demo", pin="1234", so_pin="87654321", directory=None):
        self.label, self.pin, self.so_pin = label, pin, so_pin
        self.dir = Path(directory or tempfile.mkdtemp(prefix="mtls-token-"))
        self.conf = self.dir / "softhsm2.conf"
        self.pin_file = self.dir / "pin"
        self.keys = {}
        self.set_pin_file(pin)
        self.create()

    def create(self):
        """The token itself, without keys."""
        (self.dir / "tokens").mkdir()
        self.conf.write_text(f"directories.tokendir = {self.dir}/tokens\n"
                             "objectstore.backend = file\nlog.level = ERROR\n")
        run("softhsm2-util", "--init-token", "--free", "--label", self.label, "--pin", self.pin,
            "--so-pin", self.so_pin, env=self.environment)

    @property
    def variables(self):
        """What the module must find in its environment."""
        return {"SOFTHSM2_CONF": str(self.conf)}

    @property
    def environment(self):
        return {**os.environ, **self.variables}

    @functools.cached_property
    def ca(self):
        return CA(self.dir)

    @functools.cached_property
    def serial(self):
        slots = self.tool("-L").decode()
        return re.search(rf"token label\s*: {re.escape(self.label)}\s*\n.*?serial num\s*: (\w+)",
                         slots, re.S).group(1)

    def set_pin_file(self, pin):
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def tool(self, *args, login=False):
        """pkcs11-tool on this token."""
        login_args = ["--login", "--pin", self.pin] if login else []
        return run("pkcs11-tool", "--module", self.module, "--token-label", self.label, *login_args,
                   *args, env=self.environment)

    def key(self, label="work", kind="EC:prime256v1", cert=True, subject=None, always_auth=False):
        """Generate a key pair on the token, with a certificate for it when @cert."""
        ck_id = bytes([len(self.keys) + 1])
        args = ["--keypairgen", "--key-type", kind, "--id", ck_id.hex(), "--label", label]
        made = self.tool(*args, *(["--always-auth"] if always_auth else []), login=True).decode()
        key = self.keys[label] = TokenKey(label, ck_id, self._spki(kind, ck_id, made))
        if cert:
            key.cert = self.ca.issue(pem_from_spki(key.spki), subject or f"/CN={label}")
            self.write_cert(key)
        return key

    def import_key(self, label="work", copy_of=None):
        """A P-256 key from outside, so that two tokens can have the same: a spare."""
        pem = (copy_of or self).dir / f"{label}.pem"
        if not copy_of:
            run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-out", pem)
        ck_id = bytes([len(self.keys) + 1])
        run("softhsm2-util", "--import", pem, "--token", self.label, "--label", label, "--id",
            ck_id.hex(), "--pin", self.pin, env=self.environment)
        spki = run("openssl", "pkey", "-in", pem, "-pubout", "-outform", "DER")
        key = self.keys[label] = TokenKey(label, ck_id, spki)
        key.cert = self.ca.issue(pem_from_spki(spki), f"/CN={label}")
        self.write_cert(key)
        return key

    def _spki(self, kind, ck_id, made):
        """pkcs11-tool exports RSA well; P-384 and Ed25519 it does not in every version."""
        out = self.dir / "public.der"
        if kind.startswith("rsa"):
            self.tool("--read-object", "--type", "pubkey", "--id", ck_id.hex(), "-o", out)
            return out.read_bytes()
        point = bytes.fromhex(re.search(r"EC_POINT:\s+([0-9a-f]+)", made).group(1))
        point = point[3:] if point[1] == 0x81 else point[2:]  # out of its OCTET STRING
        return bytes.fromhex(_SPKI_PREFIX[kind]) + point

    def write_cert(self, key, ck_id=None):
        """Put the key's certificate on the token, under its own id or another."""
        cert = self.dir / "cert.der"
        cert.write_bytes(key.cert_der)
        self.tool("--write-object", cert, "--type", "cert", "--id", (ck_id or key.id).hex(),
                  "--label", key.label, login=True)

    def config(self, module="softhsm", pin=None, environment=(), **options):
        """
        [module] and [token] sections. @pin: value of `pin =`; default the right PIN's file.
        @environment: further NAME=VALUE for the worker.
        """
        own = [f"{name}={value}" for name, value in self.variables.items()]
        lines = [f"[module {module}]", f"path = {self.module}",
                 *(f"environment = {variable}" for variable in (*own, *environment))]
        lines += [f"{name.replace('_', '-')} = {value}" for name, value in options.items()]
        lines += [f"[token {module}]", f"uri = pkcs11:token={self.label}",
                  f"pin = {pin or f'file:{self.pin_file}'}", ""]
        return "\n".join(lines)

    def give_to(self, uid):
        """Make everything belong to another user, for an agent that runs as that user."""
        for root, dirs, files in os.walk(self.dir):
            for name in [root] + [os.path.join(root, n) for n in dirs + files]:
                os.chown(name, uid, uid)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)
