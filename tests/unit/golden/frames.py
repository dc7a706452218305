#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden frames from the manifest, built without a line of the project's own codec.

    frames.py --check DIR   exit 1 when a .hex file is not what the manifest says
    frames.py --write DIR   write the .hex files (for new frames only: old ones never change)

The manifest has one block per frame: `frame NAME TYPE`, then the fields in wire order as
`KIND FIELD VALUE`. KIND is byte, boolean, uint32, uint64, text ("...") or bytes (hex, or empty);
`begin FIELD` ... `end` is a string whose content are the fields between.
"""
import pathlib
import struct
import sys


def string(content):
    return struct.pack(">I", len(content)) + content


ENCODERS = {
    "byte": lambda value: struct.pack(">B", int(value, 0)),
    "boolean": lambda value: struct.pack(">B", {"false": 0, "true": 1}[value]),
    "uint32": lambda value: struct.pack(">I", int(value, 0)),
    "uint64": lambda value: struct.pack(">Q", int(value, 0)),
    "text": lambda value: string(value[1:-1].encode()),
    "bytes": lambda value: string(bytes.fromhex(value)),
}


def encode_fields(lines):
    """The bytes of all fields up to the matching `end`, or to the end of the block."""
    out = b""
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "end":
            break
        if kind == "begin":
            out += string(encode_fields(lines))
        else:
            out += ENCODERS[kind](rest.partition(" ")[2])
    return out


def read_manifest(path):
    """Yields (name, frame bytes) for every block."""
    blocks = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("frame "):
            blocks.append((line.split()[1], int(line.split()[2]), []))
        else:
            blocks[-1][2].append(line)
    for name, kind, lines in blocks:
        yield name, string(bytes([kind]) + encode_fields(iter(lines)))


def to_hex(frame):
    """Lower-case hex, 32 bytes a line."""
    return "".join(frame[at:at + 32].hex() + "\n" for at in range(0, len(frame), 32))


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("--check", "--write"):
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[2])
    frames = dict(read_manifest(directory / "manifest"))
    if sys.argv[1] == "--write":
        for name, frame in frames.items():
            (directory / f"{name}.hex").write_text(to_hex(frame), encoding="ascii")
        return
    found = {path.stem: path.read_text(encoding="ascii") for path in directory.glob("*.hex")}
    wrong = [name for name in sorted(frames.keys() | found.keys())
             if name not in frames or found.get(name) != to_hex(frames[name])]
    for name in wrong:
        print(f"{name}.hex is not what the manifest says", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
