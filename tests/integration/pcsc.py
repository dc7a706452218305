# SPDX-License-Identifier: Apache-2.0
"""Smart cards without hardware: the machine's pcscd, private to a test, with cards in software.

`Pcscd` runs in a mount namespace of its own, where /run/pcscd is a directory of the test: no other
pcscd on the machine is touched, and any number run side by side. Its readers are tests/tools/
ifd_socket.c. `Card` is a process of the package tests/card. Programs that are to use it need
`pcscd.environment`; a module of the agent gets it by `card.config()`.

    class TestSomething(CardTest):
        def test_it(self):
            pcscd = self.pcscd()
            card = self.card(pcscd, keys={"9a": "EC:prime256v1"})
            pcscd.insert(card)
            agent = self.agent(card.config(), env=pcscd.environment)
"""

import functools
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import wire
from harness import BUILD_ROOT, IntegrationTest, can_run, poll_until
from softhsm import CA, TokenKey

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

try:
    from card import files, keys
except ImportError:
    keys = None  # python3-cryptography

DRIVER = BUILD_ROOT / "tests/tools/ifd-socket.so"
CLIENT = Path(__file__).with_name("pcsc_client.py")
PCSCD = shutil.which("pcscd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

GENERIC, YUBIKEY = "Test Reader", "Yubico YubiKey CCID"  # ykcs11 2.2 takes readers of Yubico alone

START_DEADLINE = 20.0

# /run is emptied because a machine without pcscd has no /run/pcscd to mount over. pcscd ends with
# whoever started it, also when that one was killed.
_NAMESPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
_ENTER = 'mount -t tmpfs none /run && mkdir /run/pcscd && mount --bind "$0" /run/pcscd && ' \
    'exec setpriv --pdeathsig KILL "$@"'


def _library(name):
    return next((p for p in (f"/usr/lib/{arch}-linux-gnu/{name}" for arch in ("x86_64", "aarch64"))
                 if os.path.exists(p)), None)


OPENSC = _library("opensc-pkcs11.so")
YKCS11 = _library("libykcs11.so") or _library("libykcs11.so.2")


@functools.cache
def missing():
    """Why there can be no smart cards here, or None."""
    if keys is None:
        return "python3-cryptography is not installed"
    if PCSCD is None:
        return "pcscd is not installed"
    if not OPENSC or not YKCS11 or not shutil.which("pkcs11-tool"):
        return "opensc, opensc-pkcs11 or ykcs11 is not installed"
    if not can_run(*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/run"):
        return "no mount namespace can be made here"
    return None


@functools.cache
def _pcscd_options():
    """From Debian 13 on pcscd asks polkit, which is not there for a private one."""
    text = subprocess.run([PCSCD, "--help"], capture_output=True, text=True, check=False)
    return ["--disable-polkit"] if "--disable-polkit" in text.stdout + text.stderr else []


class Pcscd:
    """@readers: names. @polled: pcscd asks its readers every 400 ms, else it is told at once.

    @keys: the readers have keys to type the PIN at, `card.type()`.
    """

    def __init__(self, readers=(GENERIC,), polled=False, keys=False):
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-pcsc-"))
        self.dir.chmod(0o755)
        self.ipc = self.dir / "ipc"
        self.ipc.mkdir(mode=0o755)
        self.log_file = self.dir / "pcscd.log"
        self.options = ("poll:" if polled else "") + ("keys:" if keys else "")
        self.process = None
        self.inserted = {}  # card by reader
        self.configure(readers)

    # ---- life cycle

    def configure(self, readers):
        """The readers that are plugged in from the next start on."""
        self.readers = list(readers)
        (self.dir / "reader.conf").write_text("".join(
            f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{self.options}{self.socket(name)}\n'
            f"LIBPATH {DRIVER}\nCHANNELID {number}\n"
            for number, name in enumerate(self.readers, 1)))

    def start(self):
        """Returns when it serves; cards that are in its readers are seen soon afterwards."""
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*_NAMESPACE, "sh", "-c", _ENTER, self.ipc, PCSCD, "--foreground", "--info",
                 "--config", self.dir / "reader.conf", *_pcscd_options()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        poll_until(self._is_up, START_DEADLINE, lambda: f"pcscd up\n{self.log()}")
        for reader, card in self.inserted.items():
            if reader in self.readers:
                card.insert_at(self.socket(reader))
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"pcscd ended with {self.process.returncode}:\n{self.log()}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.ipc / "pcscd.comm")) == 0

    def ensure_started(self, readers):
        """Whatever a test left: it runs, with these readers."""
        if self.process.poll() is not None or self.readers != list(readers):
            self.inserted.clear()
            self.restart(readers)

    def kill(self):
        """As a crash: its socket and its process number stay behind."""
        self._end(signal.SIGKILL)

    def stop(self):
        """As systemd does it: the socket goes."""
        self._end(signal.SIGTERM)

    def _end(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(START_DEADLINE)
        for card in self.inserted.values():
            card.wait_removed()

    def restart(self, readers=None):
        """@readers: others than before: those that are missing have been unplugged."""
        self.stop()
        if readers is not None:
            self.configure(readers)
        return self.start()

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- readers and cards

    def socket(self, reader):
        return str(self.dir / (re.sub(r"\W", "_", reader) + ".reader"))

    def insert(self, card, reader=None):
        """Returns when pcscd has seen it. @reader: the first one when not given."""
        reader = reader or self.readers[0]
        self.forget(card)
        self.inserted[reader] = card
        card.insert_at(self.socket(reader))
        self.wait_present(reader)

    def remove(self, card, wait=True):
        """@wait: until pcscd has seen it."""
        reader = self.forget(card)
        card.request("remove")
        if wait:
            self.wait_absent(reader)

    def forget(self, card):
        """It is not put back when pcscd starts again. Return: the reader that it was in."""
        for reader, held in list(self.inserted.items()):
            if held is card:
                del self.inserted[reader]
                return reader
        return None

    def swap(self, card, other):
        """@other takes its place, or it its own again, faster than any hand could do it."""
        reader = self.forget(card)
        self.inserted[reader] = other
        if other is not card:  # it waits before the reader until there is room
            other.insert_at(self.socket(reader))
        card.request("remove")
        if other is card:
            other.insert_at(self.socket(reader))
        other.wait_seen()
        self.wait_present(reader)

    def wait_present(self, reader, deadline=wire.DEADLINE):
        self.client("wait", reader, "present", deadline)

    def wait_absent(self, reader, deadline=wire.DEADLINE):
        self.client("wait", reader, "absent", deadline)

    def states(self):
        """What a client sees of each reader: present, exclusive, in_use."""
        return json.loads(self.client("list"))

    def transmit(self, *commands, reader=None):
        """Commands in hexadecimal digits to a card; the responses, with their status words."""
        lines = self.client("transmit", reader or self.readers[0], *commands)
        return [bytes.fromhex(line) for line in lines.split()]

    def hold(self, reader=None, how="exclusive"):
        """Another program has the card until the returned process's stdin is closed.

        @how: exclusive, shared, or transaction: shared, with an SCardBeginTransaction.
        """
        process = subprocess.Popen(
            [sys.executable, CLIENT, "hold", reader or self.readers[0], how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **self.environment})
        if process.stdout.readline() != b"held\n":
            process.wait()
            raise AssertionError(f"the card cannot be held: {self.states()}")
        return process

    # ---- for programs

    @property
    def environment(self):
        return {"PCSCLITE_CSOCK_NAME": str(self.ipc / "pcscd.comm")}

    def run(self, *command):
        """A program that uses this pcscd and must succeed; its output."""
        done = self.run_unchecked(*command)
        if done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_unchecked(self, *command, data=None):
        return subprocess.run(list(map(os.fspath, command)), capture_output=True, text=True,
                              errors="replace", input=data, timeout=60, check=False,
                              env={**os.environ, **self.environment})

    def client(self, *args):
        return self.run(sys.executable, str(CLIENT), *map(str, args))

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


class Card:
    """A card: its directory and the process that is the card. It starts outside of any reader."""

    def __init__(self, pcscd, name="card", yubikey="", ca=None, **identity):
        """
        @pcscd: where its programs look for it. @name: decides its serial number when none is given.
        @yubikey: version of the firmware; "": a card of another kind. @ca: issues the certificates.
        @identity: serial, pin, puk, tries, puk_tries, as card/files.py has them.
        """
        self.pcscd, self.name = pcscd, name
        self.dir = Path(tempfile.mkdtemp(prefix="mtls-card-"))
        self.ca = ca or CA(self.dir)
        serial = int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big")
        self.identity = files.Identity(**{"serial": serial, "yubikey": yubikey, **identity})
        files.write_identity(self.dir, self.identity)
        self.pin_file = self.dir / "pin"
        self.set_pin_file(self.identity.pin)
        self.keys = {}
        self.process = None

    def set_pin_file(self, pin):
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def key(self, slot, kind="EC:prime256v1", subject=None, copy_of=None):
        """A key and its certificate, before start(). @slot: 9a, 9c, 9d, 9e.

        @copy_of: another Card whose key of that slot this one gets, as a spare has it.
        """
        if copy_of is not None:
            pem = (copy_of.dir / f"{slot}.key").read_bytes()
            self.keys[slot] = copy_of.keys[slot]
            files.write_key(self.dir, int(slot, 16), pem, self.keys[slot].cert)
            return self.keys[slot]
        private = keys.generate(kind)
        key = self.keys[slot] = TokenKey(slot, b"", keys.spki(private))
        key.cert = self.ca.issue(keys.public_pem(private), subject or f"/CN={self.name} {slot}")
        files.write_key(self.dir, int(slot, 16), keys.to_pem(private), key.cert)
        return key

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "card", "--control", self.dir / "control", self.dir],
            cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            raise AssertionError(f"the card ended with {self.process.wait()}")
        return self

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- control

    def request(self, *words):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(wire.DEADLINE + 5)
            control.connect(str(self.dir / "control"))
            with control.makefile("rw") as stream:
                stream.write(json.dumps(words) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
        if "error" in answer:
            raise AssertionError(f"card: {words}: {answer['error']}")
        return answer

    def insert_at(self, reader_socket):
        self.request("insert", reader_socket)

    def insert(self, reader=None):
        self.pcscd.insert(self, reader)

    def remove(self, wait=True):
        self.pcscd.remove(self, wait)

    def swap(self, other):
        self.pcscd.swap(self, other)

    def delay(self, seconds):
        """Each signature takes so long, as when it waits for a finger."""
        self.request("delay", seconds)

    def hang(self):
        self.request("hang")

    def unhang(self):
        self.request("unhang")

    def cut(self, command="sign"):
        """The card goes without an answer, at the next signature or at `any` next command."""
        self.request("cut", command)

    def type(self, pin):
        """A person types this at the reader's keys, which asked for it."""
        self.wait_asked()
        self.request("type", pin)

    def cancel(self):
        """A person presses the red key."""
        self.wait_asked()
        self.request("cancel")

    def wait_asked(self):
        """Until the reader wants a PIN from a person."""
        self._wait("wait-asked")

    def status_words(self, word, count=1):
        """The next @count signatures fail so."""
        self.request("status-words", [word] * count)

    def tries(self, pin=3, puk=3):
        """So many are left."""
        self.request("tries", pin, puk)

    def make_new(self):
        """No faults, all tries, nothing counted, in no reader."""
        if self.status()["inserted"]:
            self.remove()
        self.request("make-new")

    def status(self):
        """What card/control.py tells of it, statistics since make_new() among it."""
        return self.request("status")

    def wait_signing(self):
        """Until a signature has begun that `delay` or `hang` holds up."""
        self._wait("wait-signing")

    def wait_seen(self):
        """Until a reader has looked at it."""
        self._wait("wait-seen")

    def wait_removed(self):
        """Until it is in no reader: removed, cut, or its reader gone."""
        self._wait("wait-removed")

    def _wait(self, what):
        if not self.request(what, wire.DEADLINE)["reached"]:
            raise AssertionError(f"card: {what}: not within {wire.DEADLINE} s\n{self.pcscd.log()}")

    # ---- as the agent and tools see it

    @property
    def module(self):
        return YKCS11 if self.identity.yubikey else OPENSC

    @property
    def uri(self):
        """Its token alone, through its own module: a YubiKey's number, or half of the GUID."""
        serial = str(self.identity.serial) if self.identity.yubikey else \
            files.guid(self.identity)[:8].hex()
        return f"pkcs11:serial={serial}"

    def config(self, module="card", path=None, pin=None, uri="pkcs11:", environment=(), **options):
        """[module] and [token] sections. @path: of another module. @pin: value of `pin =`.

        @uri: of the tokens that get this PIN: all, when there are no others. `card.uri` else.
        """
        variables = [f"{name}={value}" for name, value in self.pcscd.environment.items()]
        lines = [f"[module {module}]", f"path = {path or self.module}",
                 *(f"environment = {variable}" for variable in (*variables, *environment))]
        lines += [f"{name.replace('_', '-')} = {value}" for name, value in options.items()]
        return "\n".join([*lines, self.token_config(module, pin, uri)])

    def token_config(self, name, pin=None, uri=None):
        """The [token] section alone, for a card beside another behind one module."""
        return f"[token {name}]\nuri = {uri or self.uri}\n" \
               f"pin = {pin or f'file:{self.pin_file}'}\n"

    def tool(self, *args, login=False):
        """pkcs11-tool with the card's module."""
        login_args = ["--login", "--pin", self.identity.pin] if login else []
        return self.pcscd.run("pkcs11-tool", "--module", self.module, *login_args, *args)


class CardTest(IntegrationTest):
    """pcscd() and card() belong to one test, class_pcscd() and class_card() to the class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if missing():
            raise unittest.SkipTest(missing())

    def pcscd(self, *args, **kwargs):
        return self._pcscd(self.addCleanup, *args, **kwargs)

    def card(self, pcscd, **kwargs):
        return self._card(self.addCleanup, pcscd, **kwargs)

    @classmethod
    def class_pcscd(cls, *args, **kwargs):
        return cls._pcscd(cls.addClassCleanup, *args, **kwargs)

    @classmethod
    def class_card(cls, pcscd, **kwargs):
        return cls._card(cls.addClassCleanup, pcscd, **kwargs)

    @staticmethod
    def _pcscd(add_cleanup, *args, **kwargs):
        pcscd = Pcscd(*args, **kwargs)
        add_cleanup(pcscd.end)
        return pcscd.start()

    @staticmethod
    def _card(add_cleanup, pcscd, keys=None, subjects=None, copy_of=None, **kwargs):
        """@keys: kind by slot. @subjects: DN by slot. @copy_of: a card with the same keys."""
        card = Card(pcscd, **kwargs)
        add_cleanup(card.end)
        for slot, kind in (keys or {"9a": "EC:prime256v1"}).items():
            card.key(slot, kind, (subjects or {}).get(slot), copy_of)
        return card.start()
