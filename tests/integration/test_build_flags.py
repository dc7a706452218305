# SPDX-License-Identifier: Apache-2.0
"""What the build promises of every program and library that is installed, read from the files."""

import re
import shutil
import subprocess
import unittest

import harness
from harness import BUILD_ROOT, needs_no_sanitizer

FILES = ("agent/mtls-agent", "pkcs11/token-worker", "pkcs11/ask-pin", "pkcs11/reader-watch",
         "client/cli/mtls", "client/ssl/libmtls-agent.so.0", "client/ssl/mtls-agent/ssl.so",
         "client/mtls-agent/mtls-agent-crypto.so", "client/provider/mtls-agent.so")


def readelf(*args):
    return subprocess.run(["readelf", "--wide", *map(str, args)], capture_output=True, text=True,
                          check=True, timeout=30).stdout


@needs_no_sanitizer
@unittest.skipUnless(shutil.which("readelf"), "needs binutils")
class TestBuildFlags(unittest.TestCase):
    def files(self):
        for name in FILES:
            with self.subTest(name):
                yield BUILD_ROOT / name

    def test_position_independent(self):
        for file in self.files():
            self.assertRegex(readelf("--file-header", file), r"Type:\s+DYN")

    def test_relocations_are_read_only(self):
        for file in self.files():
            self.assertIn("GNU_RELRO", readelf("--program-headers", file))
            self.assertRegex(readelf("--dynamic", file), r"BIND_NOW|FLAGS_1.*\bNOW\b")

    def test_stack_is_not_executable(self):
        for file in self.files():
            stack = re.search(r"GNU_STACK.*", readelf("--program-headers", file)).group()
            self.assertNotIn("E", stack.split()[-2], stack)

    def test_stack_is_protected(self):
        for file in self.files():
            self.assertIn("__stack_chk_fail", readelf("--dyn-syms", file))

    def test_no_search_path_for_libraries_that_is_not_absolute(self):
        for file in self.files():
            paths = re.findall(r"(?:RPATH|RUNPATH).*\[(.*)\]", readelf("--dynamic", file))
            self.assertFalse([p for p in ":".join(paths).split(":")
                              if p and not p.startswith(("/", "$ORIGIN"))])


if __name__ == "__main__":
    harness.main()
