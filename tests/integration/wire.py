# SPDX-License-Identifier: Apache-2.0
"""The agent's wire protocol in Python, a second implementation beside common/protocol.c.

Owns: frames, fields, one class per reply, and `Wire`, a client that can also misbehave.
Never checks what it sends: the tests send what no honest client would.
"""

import array
import enum
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, field

FRAME_MAX = 256 * 1024
VERSION = 1
DEADLINE = 20.0  # seconds that a test waits for what must come at once


class Type(enum.IntEnum):
    HELLO = 1
    LIST = 2
    SIGN = 3
    STATUS = 4
    SUBSCRIBE = 5
    UNLOCK = 6
    LOCK = 7
    SET_PIN = 8
    HELLO_REPLY = 129
    LIST_REPLY = 130
    SIGN_REPLY = 131
    STATUS_REPLY = 132
    SUBSCRIBE_REPLY = 133
    UNLOCK_REPLY = 134
    LOCK_REPLY = 135
    SET_PIN_REPLY = 136
    EVENT = 192
    ERROR = 255


class Code(enum.IntEnum):
    PROTO = 1
    VERSION = 2
    POLICY = 3
    NO_KEY = 4
    AMBIGUOUS = 5
    TOKEN_GONE = 6
    LOCKED = 7
    PIN = 8
    BUSY = 9
    TIMEOUT = 10
    INTERNAL = 11


class Kind(enum.IntEnum):
    TLS13 = 1
    TLS12 = 2
    DIGEST = 3


class KeyType(enum.IntEnum):
    RSA = 1
    RSA_PSS = 2
    EC = 3
    ED25519 = 4


class KeyState(enum.IntEnum):
    READY = 1
    LOCKED = 2
    ABSENT = 3


class TokenState(enum.IntEnum):
    READY = 1
    LOCKED = 2
    PIN_BAD = 3
    PIN_BLOCKED = 4


class ReaderState(enum.IntEnum):
    EMPTY = 1
    PRESENT = 2
    IN_USE = 3
    EXCLUSIVE = 4
    MUTE = 5
    UNAVAILABLE = 6


class ModuleState(enum.IntEnum):
    STARTING = 1
    READY = 2
    BACKOFF = 3
    FAILED = 4
    RELEASED = 5


KEYS_CHANGED, TOKEN_CHANGED, MODULE_CHANGED, WAITING = 1, 2, 4, 8
EVENT_ALL = 7  # but for WAITING: who subscribes to that has a person for it

RSA_PKCS1_SHA256 = 0x0401
ECDSA_SHA256 = 0x0403
ECDSA_SHA384 = 0x0503
ECDSA_SHA512 = 0x0603
RSA_PSS_SHA256 = 0x0804
RSA_PSS_SHA384 = 0x0805
RSA_PSS_SHA512 = 0x0806
ED25519 = 0x0807


class Closed(Exception):
    """The agent closed the connection."""


class Refused(Exception):
    """An ERROR reply."""

    def __init__(self, request_id, code, text):
        super().__init__(f"{Code(code).name}: {text}")
        self.request_id = request_id
        self.code = Code(code)
        self.text = text


# ---- fields

def u8(value):
    return struct.pack(">B", value)


def u64(value):
    return struct.pack(">Q", value)


def u32(value):
    return struct.pack(">I", value)


def string(value):
    data = value.encode() if isinstance(value, str) else bytes(value)
    return u32(len(data)) + data


def frame(frame_type, body=b""):
    return u32(1 + len(body)) + u8(frame_type) + body


class Fields:
    """Reads fields; raises ValueError where the bytes are not of the expected form."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise ValueError("field past the end")
        self.at += size
        return self.data[self.at - size:self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def bool(self):
        value = self.u8()
        if value > 1:
            raise ValueError("boolean that is neither 0 nor 1")
        return bool(value)

    def string(self):
        return self.take(self.u32())

    def text(self):
        return self.string().decode("utf-8")

    def end(self):
        if self.at != len(self.data):
            raise ValueError("bytes after the last field")

    def strings(self):
        """The strings that fill the rest."""
        found = []
        while self.at < len(self.data):
            found.append(self.string())
        return found


# ---- replies

@dataclass
class Key:
    name: str
    hash: bytes
    type: KeyType
    bits: int
    state: KeyState
    policy: int
    always_authenticate: bool
    label: str
    ck_id: bytes
    token_label: str
    token_serial: str
    module: str
    spki: bytes
    schemes: list = field(default_factory=list)
    certs: list = field(default_factory=list)

    @classmethod
    def parse(cls, data):
        f = Fields(data)
        key = cls(f.text(), f.string(), KeyType(f.u32()), f.u32(), KeyState(f.u32()), f.u32(),
                  f.bool(), f.text(), f.string(), f.text(), f.text(), f.text(), f.string())
        key.schemes = [f.u32() for _ in range(f.u32())]
        key.certs = [f.string() for _ in range(f.u32())]
        f.end()
        if len(key.hash) != 32:
            raise ValueError("key hash is not 32 bytes")
        return key


@dataclass
class HelloReply:
    version: int
    agent_version: str


@dataclass
class ListReply:
    id: int
    total: int
    next: int
    keys: list


@dataclass
class SignReply:
    id: int
    signature: bytes


@dataclass
class Module:
    name: str
    path: str
    state: ModuleState
    workers: int
    restarts: int
    text: str


@dataclass
class Token:
    label: str
    serial: str
    module: str
    state: TokenState
    keys: int
    text: str


@dataclass
class Refusal:
    age_ms: int
    count: int
    uid: int
    pid: int
    program: str
    key: str
    kind: int
    text: str


@dataclass
class Reader:
    name: str
    state: ReaderState
    text: str


@dataclass
class Status:
    id: int
    agent_version: str
    pid: int
    uptime_ms: int
    signatures: int
    refusals: int
    failures: int
    connections: int
    queued: int
    config_text: str
    modules: list
    tokens: list
    recent_refusals: list
    readers_text: str
    readers: list


@dataclass
class Done:
    """SUBSCRIBE_REPLY, UNLOCK_REPLY, LOCK_REPLY: nothing but the id."""
    id: int


@dataclass
class Event:
    id: int
    kind: int
    subject: str
    text: str


@dataclass
class Error:
    id: int
    code: Code
    text: str


def _parse_list(f):
    reply = ListReply(f.u32(), f.u32(), f.u32(), [])
    count = f.u32()
    reply.keys = [Key.parse(entry) for entry in Fields(f.string()).strings()]
    if len(reply.keys) != count:
        raise ValueError("key count")
    return reply


def _parse_module(data):
    f = Fields(data)
    module = Module(f.text(), f.text(), ModuleState(f.u32()), f.u32(), f.u32(), f.text())
    f.end()
    return module


def _parse_token(data):
    f = Fields(data)
    token = Token(f.text(), f.text(), f.text(), TokenState(f.u32()), f.u32(), f.text())
    f.end()
    return token


def _parse_refusal(data):
    f = Fields(data)
    refusal = Refusal(f.u64(), f.u32(), f.u32(), f.u32(), f.text(), f.text(), f.u8(), f.text())
    f.end()
    return refusal


def _parse_reader(data):
    f = Fields(data)
    reader = Reader(f.text(), ReaderState(f.u32()), f.text())
    f.end()
    return reader


def _parse_status(f):
    return Status(f.u32(), f.text(), f.u32(), f.u64(), f.u64(), f.u64(), f.u64(), f.u32(), f.u32(),
                  f.text(), [_parse_module(m) for m in Fields(f.string()).strings()],
                  [_parse_token(t) for t in Fields(f.string()).strings()],
                  [_parse_refusal(r) for r in Fields(f.string()).strings()], f.text(),
                  [_parse_reader(r) for r in Fields(f.string()).strings()])


_PARSERS = {
    Type.HELLO_REPLY: lambda f: HelloReply(f.u32(), f.text()),
    Type.LIST_REPLY: _parse_list,
    Type.SIGN_REPLY: lambda f: SignReply(f.u32(), f.string()),
    Type.STATUS_REPLY: _parse_status,
    Type.SUBSCRIBE_REPLY: lambda f: Done(f.u32()),
    Type.UNLOCK_REPLY: lambda f: Done(f.u32()),
    Type.LOCK_REPLY: lambda f: Done(f.u32()),
    Type.SET_PIN_REPLY: lambda f: Done(f.u32()),
    Type.EVENT: lambda f: Event(f.u32(), f.u32(), f.text(), f.text()),
    Type.ERROR: lambda f: Error(f.u32(), Code(f.u32()), f.text()),
}


def parse_reply(data):
    """One reply from the bytes after the length; anything unknown is a ValueError."""
    fields = Fields(data)
    reply = _PARSERS[Type(fields.u8())](fields)
    fields.end()
    return reply


# ---- requests

def hello(version_min=VERSION, version_max=VERSION, name="test"):
    return frame(Type.HELLO, u32(version_min) + u32(version_max) + string(name))


def list_keys(request_id, selector="", start=0):
    return frame(Type.LIST, u32(request_id) + u32(start) + string(selector))


def sign(request_id, key_hash, scheme, kind, content, deadline_ms=0):
    return frame(Type.SIGN, u32(request_id) + u32(deadline_ms) + string(key_hash) + u32(scheme) +
                 u8(kind) + string(content))


def status(request_id):
    return frame(Type.STATUS, u32(request_id))


def subscribe(request_id, mask=EVENT_ALL):
    return frame(Type.SUBSCRIBE, u32(request_id) + u32(mask))


def unlock(request_id, selector=""):
    return frame(Type.UNLOCK, u32(request_id) + string(selector))


def lock(request_id, selector=""):
    return frame(Type.LOCK, u32(request_id) + string(selector))


def set_pin(request_id, change, selector=""):
    return frame(Type.SET_PIN, u32(request_id) + string(selector) + u8(change))


class Wire:
    """One connection. The `*_keys`, `sign`, ... methods raise Refused for an ERROR reply."""

    def __init__(self, path, greet=True, deadline=DEADLINE):
        self.deadline = deadline
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.received = bytearray()
        self.kept = []  # replies read while another one was awaited
        self.last_id = 0
        try:
            self.socket.settimeout(deadline)
            self.socket.connect(os.fspath(path))
            if greet:
                self.greet()
        except BaseException:
            self.socket.close()
            raise

    @classmethod
    def adopt(cls, connected):
        """A client on a socket that somebody else connected; it has not said hello."""
        client = cls.__new__(cls)
        client.deadline, client.socket = DEADLINE, connected
        client.received, client.kept, client.last_id = bytearray(), [], 0
        connected.settimeout(client.deadline)
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def next_id(self):
        self.last_id += 1
        return self.last_id

    def send(self, data, fds=()):
        """All of @data; with @fds attached to its first byte."""
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            data = data[self.socket.sendmsg([data], rights):]
        if data:
            self.socket.sendall(data)

    def receive(self, deadline=None):
        """The next reply. Closed at the end of the stream, TimeoutError past the deadline."""
        end = time.monotonic() + (self.deadline if deadline is None else deadline)
        while True:
            if len(self.received) >= 4:
                size = struct.unpack(">I", self.received[:4])[0]
                if not 0 < size <= FRAME_MAX:
                    raise ValueError(f"agent announced a frame of {size} bytes")
                if len(self.received) >= 4 + size:
                    data = bytes(self.received[4:4 + size])
                    del self.received[:4 + size]
                    return parse_reply(data)
            poll = select.poll()  # select() knows no descriptor over 1023
            poll.register(self.socket, select.POLLIN)
            if not poll.poll(max(0, end - time.monotonic()) * 1000):
                raise TimeoutError("no reply from the agent")
            try:
                chunk = self.socket.recv(65536)
            except ConnectionError as error:
                raise Closed("connection reset") from error
            if not chunk:
                raise Closed("closed by the agent" + (" in a frame" if self.received else ""))
            self.received += chunk

    def wait(self, request_id, deadline=None):
        """The reply to one request; other replies are kept for their own wait()."""
        for reply in self.kept:
            if reply.id == request_id and not isinstance(reply, Event):
                self.kept.remove(reply)
                return reply
        end = time.monotonic() + (self.deadline if deadline is None else deadline)
        while True:
            reply = self.receive(max(0, end - time.monotonic()))
            if reply.id == request_id and not isinstance(reply, Event):
                return reply
            if isinstance(reply, Error) and reply.id == 0:
                raise Refused(0, reply.code, reply.text)
            self.kept.append(reply)

    def event(self, deadline=None):
        """The next event."""
        for reply in self.kept:
            if isinstance(reply, Event):
                self.kept.remove(reply)
                return reply
        end = time.monotonic() + (self.deadline if deadline is None else deadline)
        while True:
            reply = self.receive(max(0, end - time.monotonic()))
            if isinstance(reply, Event):
                return reply
            self.kept.append(reply)

    def call(self, build, *args, fds=(), deadline=None, **kwargs):
        """Send build(id, ...) with a fresh id and wait for its reply; raises Refused."""
        request_id = self.next_id()
        self.send(build(request_id, *args, **kwargs), fds)
        reply = self.wait(request_id, deadline)
        if isinstance(reply, Error):
            raise Refused(reply.id, reply.code, reply.text)
        return reply

    def greet(self, **kwargs):
        self.send(hello(**kwargs))
        reply = self.receive()
        if isinstance(reply, Error):
            raise Refused(reply.id, reply.code, reply.text)
        return reply

    def keys(self, selector=""):
        """Every key that @selector names, over all pages."""
        found, start = [], 0
        while True:
            page = self.call(list_keys, selector, start)
            found += page.keys
            if page.next == 0:
                return found
            start = page.next

    def sign(self, key_hash, scheme, kind, content, deadline_ms=0):
        return self.call(sign, key_hash, scheme, kind, content, deadline_ms).signature

    def status(self):
        return self.call(status)

    def subscribe(self, mask=EVENT_ALL):
        return self.call(subscribe, mask)

    def lock(self, selector=""):
        return self.call(lock, selector)

    def unlock(self, pin, selector="", deadline=None):
        """@pin travels through a pipe, as `mtls unlock` does it."""
        reader, writer = os.pipe()
        try:
            os.write(writer, pin.encode() if isinstance(pin, str) else pin)
        finally:
            os.close(writer)
        try:
            return self.call(unlock, selector, fds=[reader], deadline=deadline)
        finally:
            os.close(reader)

    def wait_closed(self, deadline=None):
        """Replies until the agent closes; TimeoutError when it does not."""
        replies = []
        try:
            while True:
                replies.append(self.receive(deadline))
        except Closed:
            return replies
