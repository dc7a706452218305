# SPDX-License-Identifier: Apache-2.0
"""BER-TLV as cards use it (ISO 7816-4 section 5.2.2): tags of few bytes, definite lengths."""


def encode(tag, value=b""):
    """One object. @tag: a number, 0x5FC105 for three bytes."""
    size = len(value)
    if size < 0x80:
        length = bytes([size])
    else:
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(digits)]) + digits
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big") + length + value


def decode(data):
    """The objects in @data, by tag; ValueError when they do not fill it exactly."""
    found, at = {}, 0
    while at < len(data):
        start = at
        at += 1
        if data[start] & 0x1F == 0x1F:
            while _byte(data, at) & 0x80:
                at += 1
            at += 1
        tag = int.from_bytes(data[start:at], "big")
        size = _byte(data, at)
        at += 1
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[at:at + digits], "big")
            at += digits
        if at + size > len(data):
            raise ValueError("object past the end")
        found[tag] = data[at:at + size]
        at += size
    return found


def _byte(data, at):
    if at >= len(data):
        raise ValueError("object without an end")
    return data[at]
