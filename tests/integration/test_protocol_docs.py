# SPDX-License-Identifier: Apache-2.0
"""docs/protocol.md says the numbers that the code has: limits, types, codes, golden frames."""

import re
import unittest
from pathlib import Path

import harness

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
HEADERS = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in (
    "common/wire.h", "common/protocol.h", "common/scheme.h", "agent/user.h", "agent/connection.h",
    "agent/sign_request.h"))

# Rows of section 3: the constant, and what one unit of the row is in those of the constant.
LIMITS = {
    "frame": ("WIRE_FRAME_MAX", 1), "name": ("PROTOCOL_NAME_MAX", 1),
    "selector": ("PROTOCOL_SELECTOR_MAX", 1), "sentence": ("PROTOCOL_TEXT_MAX", 1),
    "id": ("PROTOCOL_ID_MAX", 1), "DER": ("PROTOCOL_DER_MAX", 1),
    "certificates": ("PROTOCOL_CERTS_MAX", 1), "schemes": ("SCHEMES_MAX", 1),
    "signature": ("PROTOCOL_SIGNATURE_MAX", 1), "refusals": ("PROTOCOL_REFUSALS_MAX", 1),
    "readers": ("PROTOCOL_READERS_MAX", 1),
    "requests of one connection": ("CONNECTION_REQUESTS_MAX", 1),
    "requests of one uid": ("USER_REQUESTS_MAX", 1),
    "connections of one uid": ("USER_CONNECTIONS_MAX", 1),
    "unsent replies of one connection": ("CONNECTION_OUTPUT_MAX", 1024 * 1024),
    "`HELLO`, and every frame that was begun": ("CONNECTION_FRAME_MS", 1000),
    "replies that the client does not read": ("CONNECTION_FRAME_MS", 1000),
    "a connection without request and subscription": ("CONNECTION_IDLE_MS", 3600 * 1000),
    "a signature": ("SIGN_REQUEST_DEADLINE_MS", 1000),
}


def section(number):
    return re.search(rf"^##+ {re.escape(number)}\.? .*?\n(.*?)(?=^##+ |\Z)", DOCUMENT,
                     re.S | re.M).group(1)


def rows(text):
    """Cells of the tables in @text, without titles."""
    lines = [line.strip().strip("|").split("|") for line in text.splitlines()
             if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if not set(line[0]) <= set("-: ")]


def constant(name):
    """The number that a header defines as @name."""
    value = re.search(rf"#define {name}\s*\\?\s*([^/\n]+)", HEADERS).group(1)
    product = 1
    for factor in re.findall(r"\d+", value):
        product *= int(factor)
    return product


def enumerators(prefix):
    return {name: int(value, 0) for name, value in
            re.findall(rf"\b{prefix}(\w+) = (\d+),", HEADERS)}


class TestDocument(unittest.TestCase):
    def test_limits(self):
        said = {row[0]: row[1] for row in rows(section("3"))[1:]}
        self.assertEqual(set(said), set(LIMITS))
        for row, (name, unit) in LIMITS.items():
            with self.subTest(row):
                number = int(re.match(r"\d+", said[row]).group())
                self.assertEqual(number * unit, constant(name), name)

    def test_message_types(self):
        said = {}
        for cells in rows(section("5"))[1:]:
            for number, name in zip(cells[::2], cells[1::2]):
                said[name.strip("`")] = int(number)
        codes = {f"E_{name}" for name in enumerators("PROTOCOL_E_")}
        known = {name: number for name, number in enumerators("PROTOCOL_").items()
                 if name not in codes}
        self.assertEqual(said, known)

    def test_error_codes_and_their_names(self):
        said = {int(number): name.strip("`") for number, name, *_ in rows(section("5.7"))[1:]}
        source = (ROOT / "common/protocol.c").read_text(encoding="utf-8")
        names = dict(re.findall(r'\[PROTOCOL_E_(\w+)\] = "([\w-]+)"', source))
        self.assertEqual(said, {number: names[name] for name, number in
                                enumerators("PROTOCOL_E_").items()})

    def test_golden_frames(self):
        said = {name for _, names in rows(section("9"))[1:]
                for name in re.findall(r"`([^`]+)`", names)}
        there = {path.stem for path in (ROOT / "tests/unit/golden").glob("*.hex")}
        self.assertEqual(said, there)

    def test_the_frame_that_is_shown(self):
        shown = re.findall(r"```\n([0-9a-f ]+)\n```", section("9"))
        hello = (ROOT / "tests/unit/golden/hello.hex").read_text(encoding="ascii")
        self.assertEqual([s.replace(" ", "") for s in shown], ["".join(hello.split())])


if __name__ == "__main__":
    harness.main()
