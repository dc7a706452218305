# SPDX-License-Identifier: Apache-2.0
"""Commands and responses of ISO 7816-4, and what makes long ones out of short ones.

Owns: the forms of a command, command chaining, GET RESPONSE. Knows nothing of what commands mean.
"""

from dataclasses import dataclass

GET_RESPONSE = 0xC0
CHAINED = 0x10  # in CLA: more of this command follows


class Status:
    """Status words that the card gives (ISO 7816-4 table 5, SP 800-73-4 part 2)."""
    OK = 0x9000
    MORE = 0x6100          # and how many bytes
    TRIES = 0x63C0         # and how many are left
    LENGTH = 0x6700
    NOT_SATISFIED = 0x6982
    BLOCKED = 0x6983
    WRONG_DATA = 0x6A80
    NOT_FOUND = 0x6A82
    WRONG_PARAMETERS = 0x6A86
    NO_REFERENCE = 0x6A88
    NO_INSTRUCTION = 0x6D00


@dataclass
class Command:
    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes
    expected: int  # bytes the other side takes at once, 0: it named none

    @classmethod
    def parse(cls, raw):
        """Short and extended forms; ValueError for anything else."""
        if len(raw) < 4:
            raise ValueError("command without a header")
        rest = raw[4:]
        extended = len(rest) > 2 and rest[0] == 0
        width = 2 if extended else 1
        rest = rest[1:] if extended else rest
        data = b""
        if len(rest) > width:
            size = int.from_bytes(rest[:width], "big")
            data, rest = rest[width:width + size], rest[width + size:]
            if len(data) != size:
                raise ValueError("command shorter than it says")
        if len(rest) not in (0, width):
            raise ValueError("bytes after the command")
        expected = (int.from_bytes(rest, "big") or 256 ** width) if rest else 0
        return cls(*raw[:4], data, expected)


@dataclass
class Response:
    status: int
    data: bytes = b""

    def encode(self):
        return self.data + self.status.to_bytes(2, "big")


class Assembler:
    """Between the reader and execute(Command) -> Response: long commands, long responses."""

    def __init__(self, execute):
        self.execute = execute
        self.reset()

    def reset(self):
        self.begun, self.waiting = b"", b""

    def process(self, raw):
        try:
            command = Command.parse(raw)
        except ValueError:
            return Response(Status.LENGTH).encode()
        if command.ins == GET_RESPONSE:
            return self._next_part(command.expected or 256)
        self.waiting = b""
        self.begun += command.data
        if command.cla & CHAINED:
            return Response(Status.OK).encode()
        command.data, self.begun = self.begun, b""
        response = self.execute(command)
        if response.status != Status.OK:
            return response.encode()
        self.waiting = response.data
        return self._next_part(command.expected or 256)

    def _next_part(self, room):
        part, self.waiting = self.waiting[:room], self.waiting[room:]
        left = len(self.waiting)
        return Response(Status.MORE | (left if left < 256 else 0) if left else Status.OK,
                        part).encode()
