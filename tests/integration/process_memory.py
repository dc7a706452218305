# SPDX-License-Identifier: Apache-2.0
"""What the readable memory of a process holds."""

MAPPING_MAX = 1 << 30


def mappings(pid):
    """(the line of /proc/PID/maps, content) of each mapping that can be read."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, permissions, *_ = line.split()
            if not permissions.startswith("r") or "[v" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            if end - start > MAPPING_MAX:
                continue  # the shadow memory of a sanitizer
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, OverflowError, ValueError):
                continue
            yield line.strip(), content


def memory_has(pid, needle):
    """The first mapping that holds @needle, in any common encoding; None where there is none."""
    needles = [needle.encode(), needle.encode("utf-16-le")]
    return next((line for line, content in mappings(pid) if any(n in content for n in needles)),
                None)


def memory_count(pid, needle):
    """How often the bytes @needle stand in it."""
    return sum(content.count(needle) for _, content in mappings(pid))
