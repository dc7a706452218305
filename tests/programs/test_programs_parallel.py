# SPDX-License-Identifier: Apache-2.0
"""Many programs on one token at the same moment: every one gets what it asked for.

SoftHSM in each program's own process fails this: it loses objects while others open its directory.
"""

import re
import subprocess

from fixture import MODULE, ProgramsTest, main

COUNT = 24


class TestParallel(ProgramsTest):
    NEEDS = ("pkcs11-tool", "p11tool", "ssh-keygen")

    def start(self, *args):
        return subprocess.Popen(list(map(str, args)), env=self.environment(), cwd=self.home,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, started):
        """What each of the processes printed; all must have ended well."""
        said = [process.communicate(timeout=60) for process in started]
        failed = [text for process, text in zip(started, said) if process.returncode != 0]
        self.assertEqual(len(failed), 0, f"of {len(started)}: {failed}\n{self.agent.log()}")
        return [out for out, _ in said]

    def test_lists_are_complete(self):
        started = [self.start("pkcs11-tool", "--module", MODULE, "--token-label", "demo", "-O")
                   for _ in range(COUNT)]
        for out in self.finish(started):
            self.assertEqual(len(re.findall("label: +(?:work|rsa|strict)\n", out)), 9, out)

    def test_signatures(self):
        (self.home / "hash").write_bytes(bytes(32))
        files = [self.home / f"signature-{number}" for number in range(COUNT)]
        self.finish([self.start("pkcs11-tool", "--module", MODULE, "--token-label", "demo",
                                "--sign", "--id", self.token.keys["work"].id.hex(), "--mechanism",
                                "ECDSA", "--signature-format", "openssl", "-i", "hash", "-o", file)
                     for file in files])
        for file in files:
            self.assert_verifies("work", bytes(32), file.read_bytes(), "pkeyutl")

    def test_programs_of_several_kinds(self):
        kinds = [("p11tool", "--provider", MODULE, "--batch", "--test-sign",
                  self.uri("work", "private")),
                 ("p11tool", "--provider", MODULE, "--batch", "--test-sign",
                  self.uri("rsa", "private")),
                 ("pkcs11-tool", "--module", MODULE, "--token-label", "demo", "-O", "--type",
                  "privkey"),
                 ("ssh-keygen", "-D", MODULE)]
        self.finish([self.start(*kind) for kind in kinds for _ in range(COUNT // len(kinds))])


if __name__ == "__main__":
    main()
