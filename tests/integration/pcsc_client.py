# SPDX-License-Identifier: Apache-2.0
"""Another program beside the agent that uses pcscd: looks, waits, holds a card.

libpcsclite finds pcscd by PCSCLITE_CSOCK_NAME, once in a process; so this is a program of its own.

    pcsc_client.py list                             readers and their states, JSON
    pcsc_client.py wait READER present|absent SECONDS
    pcsc_client.py transmit READER HEX ...          commands to its card; a line for each response
    pcsc_client.py hold READER shared|exclusive|transaction
                                                    prints "held", lets go when its input ends
"""

import ctypes
import json
import sys
import time
from ctypes import byref, c_char_p, c_long, c_ubyte, c_ulong, c_void_p

SCOPE_SYSTEM = 2
SHARE_EXCLUSIVE, SHARE_SHARED = 1, 2
PROTOCOL_ANY = 3
LEAVE_CARD, RESET_CARD = 0, 1
STATE_UNAWARE = 0
STATE_PRESENT, STATE_EXCLUSIVE, STATE_INUSE = 0x20, 0x80, 0x100
NO_READERS = 0x8010002E
TIMEOUT = 0x8010000A


class ReaderState(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("user_data", c_void_p), ("current", c_ulong),
                ("event", c_ulong), ("atr_len", c_ulong), ("atr", c_ubyte * 33)]


class IoRequest(ctypes.Structure):
    _fields_ = [("protocol", c_ulong), ("len", c_ulong)]


class Pcsc:
    def __init__(self):
        self.library = ctypes.CDLL("libpcsclite.so.1")
        self.context = c_long()
        self.call("SCardEstablishContext", c_ulong(SCOPE_SYSTEM), None, None, byref(self.context))

    def call(self, name, *args, also=()):
        """The function's return value, which must be success or one of @also."""
        value = getattr(self.library, name)(*args) & 0xFFFFFFFF
        if value != 0 and value not in also:
            raise OSError(f"{name}: 0x{value:08X}")
        return value

    def readers(self):
        """What pcscd calls them, by their own names: it adds two numbers."""
        size = c_ulong()
        if self.call("SCardListReaders", self.context, None, None, byref(size), also=[NO_READERS]):
            return {}
        names = ctypes.create_string_buffer(size.value)
        self.call("SCardListReaders", self.context, None, names, byref(size))
        return {name.decode().rsplit(" ", 2)[0]: name for name in names.raw.split(b"\0") if name}

    def state(self, reader, known=STATE_UNAWARE, timeout=0.0):
        """The reader's state, at once or, when it is as known, after a change or the timeout."""
        state = ReaderState(self.readers()[reader], None, known)
        self.call("SCardGetStatusChange", self.context, c_ulong(int(timeout * 1000)), byref(state),
                  c_ulong(1), also=[TIMEOUT])
        return state.event

    def wait(self, reader, present, timeout):
        end = time.monotonic() + timeout
        state = self.state(reader)
        while bool(state & STATE_PRESENT) != present:
            left = end - time.monotonic()
            if left <= 0:
                return False
            state = self.state(reader, state, left)
        return True

    def connect(self, reader, share):
        card, protocol = c_long(), c_ulong()
        self.call("SCardConnect", self.context, self.readers()[reader], c_ulong(share),
                  c_ulong(PROTOCOL_ANY), byref(card), byref(protocol))
        return card, protocol.value

    def transmit(self, reader, commands):
        card, protocol = self.connect(reader, SHARE_SHARED)
        answer = ctypes.create_string_buffer(65538)
        request = IoRequest(protocol, ctypes.sizeof(IoRequest))
        for command in commands:
            size = c_ulong(len(answer))
            self.call("SCardTransmit", card, byref(request), command, c_ulong(len(command)), None,
                      answer, byref(size))
            yield answer.raw[:size.value]
        self.call("SCardDisconnect", card, c_ulong(RESET_CARD))

    def hold(self, reader, how):
        card, _ = self.connect(reader, SHARE_EXCLUSIVE if how == "exclusive" else SHARE_SHARED)
        if how == "transaction":
            self.call("SCardBeginTransaction", card)
        print("held", flush=True)
        sys.stdin.read()
        self.call("SCardDisconnect", card, c_ulong(LEAVE_CARD))


def main(command, *args):
    pcsc = Pcsc()
    if command == "list":
        states = {reader: pcsc.state(reader) for reader in pcsc.readers()}
        print(json.dumps({reader: {"present": bool(state & STATE_PRESENT),
                                   "exclusive": bool(state & STATE_EXCLUSIVE),
                                   "in_use": bool(state & STATE_INUSE)}
                          for reader, state in states.items()}))
    elif command == "wait":
        reader, what, seconds = args
        if not pcsc.wait(reader, what == "present", float(seconds)):
            sys.exit(f"{reader}: not {what} within {seconds} s; it has {list(pcsc.readers())}")
    elif command == "transmit":
        for answer in pcsc.transmit(args[0], map(bytes.fromhex, args[1:])):
            print(answer.hex())
    elif command == "hold":
        pcsc.hold(*args)
    else:
        sys.exit(f"no command {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
