# SPDX-License-Identifier: Apache-2.0
"""A TPM in software, and the token that libtpm2_pkcs11 makes of it.

Owns: the process of the TPM, its two TCP ports on the loopback, the token's store. The TPM serves
one connection at a time: while a worker has it, no tool gets in.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from softhsm import TokenDir, run

MODULE = next((p for p in ("/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so",
                           "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1",
                           "/usr/lib/aarch64-linux-gnu/pkcs11/libtpm2_pkcs11.so",
                           "/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1")
               if os.path.exists(p)), "")

IS_THERE = bool(MODULE and shutil.which("swtpm"))

_START_DEADLINE = 20.0


class Swtpm:
    """One TPM. Its control port is the one after `port`: libtss2-tcti-swtpm counts so."""

    def __init__(self, directory):
        self.directory = directory
        for _ in range(20):
            self.port = self._free_port()
            if self.start():
                return
        raise RuntimeError("swtpm does not start")

    def start(self):
        """Also after end(): the same TPM at the same ports, switched on again."""
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.directory}",
             "--server", f"type=tcp,port={self.port},bindaddr=127.0.0.1",
             "--ctrl", f"type=tcp,port={self.port + 1},bindaddr=127.0.0.1",
             "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self._is_up()

    @staticmethod
    def _free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return min(probe.getsockname()[1], 65534)

    def _is_up(self):
        """False when it ended: another process had one of the ports."""
        end = time.monotonic() + _START_DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port + 1), 1).close()
                return True
            except ConnectionRefusedError:
                time.sleep(0.01)
        self.end()
        return False

    @property
    def tcti(self):
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def failed_tries(self):
        """The TPM's own counter, TPM_PT_LOCKOUT_COUNTER. Nobody else may have the TPM meanwhile."""
        text = run("tpm2_getcap", "-T", self.tcti, "properties-variable",
                   env={**os.environ, "TSS2_LOG": "all+NONE"}).decode()
        return int(re.search(r"TPM2_PT_LOCKOUT_COUNTER: (0x[0-9A-Fa-f]+)", text).group(1), 16)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class TpmToken(TokenDir):
    """As TokenDir, on a TPM of its own."""

    module = MODULE

    def create(self):
        for name in ("state", "store"):
            (self.dir / name).mkdir(mode=0o700)
        self.tpm = Swtpm(self.dir / "state")
        try:
            self.initialise()
        except BaseException:
            self.remove()
            raise

    def initialise(self):
        tool = ["pkcs11-tool", "--module", self.module]
        run(*tool, "--slot-index", "0", "--init-token", "--label", self.label, "--so-pin",
            self.so_pin, env=self.environment)
        run(*tool, "--token-label", self.label, "--login", "--login-type", "so", "--so-pin",
            self.so_pin, "--init-pin", "--new-pin", self.pin, env=self.environment)

    @property
    def variables(self):
        return {"TPM2_PKCS11_TCTI": self.tpm.tcti,
                "TPM2_PKCS11_STORE": str(Path(self.dir, "store")), "TSS2_LOG": "all+NONE"}

    def remove(self):
        self.tpm.end()
        super().remove()
