# SPDX-License-Identifier: Apache-2.0
"""The filter of system calls: it is in force, it stops a bad module, and no good one notices it."""

import errno
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import harness
import swtpm
import wire
from faults import TOOLS
from harness import AGENT_BIN, IntegrationTest, poll_until
from softhsm import MODULE
from wire import ModuleState

_VERSION = subprocess.run([AGENT_BIN, "--version"], capture_output=True, text=True,
                          check=False).stdout
_SECCOMP_MODE_FILTER = "2"

# Modules that talk to pcscd. Without it they have no token, and must still load and list.
_CARD_MODULES = [path for path in map(Path, (
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/x86_64-linux-gnu/libykcs11.so.2", "/usr/lib/aarch64-linux-gnu/libykcs11.so.2"))
                 if path.exists()]


def seccomp(pid):
    """(mode, how many filters); the count is 0 where the kernel does not tell it."""
    status = Path(f"/proc/{pid}/status").read_text()
    count = re.search(r"^Seccomp_filters:\t(\d+)", status, re.M)
    return re.search(r"^Seccomp:\t(\d)", status, re.M).group(1), int(count.group(1) if count else 0)


@unittest.skipIf("no system-call filter" in _VERSION, "built without")
class SandboxTest(IntegrationTest):
    def in_force(self, pid):
        poll_until(lambda: seccomp(pid)[0] == _SECCOMP_MODE_FILTER,
                   what=f"a filter on {harness.process_name(pid)}")


class TestInForce(SandboxTest):
    def test_core_and_worker(self):
        token = self.token()
        token.key("work")
        agent = self.agent(token.config())
        agent.wait_keys()
        self.in_force(agent.pid)
        for pid in agent.workers():
            self.in_force(pid)

    def test_worker_has_more_than_the_core(self):
        token = self.token()
        token.key("work")
        agent = self.agent(token.config(workers=1))
        agent.wait_keys()
        _, of_core = seccomp(agent.pid)
        if of_core == 0:
            self.skipTest("this kernel does not count filters")
        for pid in agent.workers():
            self.assertGreater(seccomp(pid)[1], of_core)

    def test_pin_source_and_its_command(self):
        token = self.token()
        token.key("work")
        mode = token.dir / "mode"
        agent = self.agent(token.config(
            pin=f"command:grep ^Seccomp: /proc/self/status >{mode} && cat {token.pin_file}"))
        agent.wait_keys()
        self.assertEqual(mode.read_text().split(), ["Seccomp:", _SECCOMP_MODE_FILTER])

    def test_after_a_worker_was_replaced(self):
        token = self.token()
        token.key("work")
        agent = self.agent(token.config())
        agent.wait_keys()
        before = agent.workers()
        agent.kill_workers()
        fresh = poll_until(lambda: set(agent.workers()) - set(before), what="fresh workers")
        for pid in fresh:
            self.in_force(pid)


class TestBadModule(SandboxTest):
    """It tries everything in its constructor, and is SoftHSM from then on."""

    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work")
        config = self.the_token.config(workers=1,
                                       environment=[f"BAD_MODULE_BEHIND={MODULE}"])
        self.running = self.agent(config.replace(f"path = {MODULE}",
                                                 f"path = {TOOLS}/bad-module-forbidden.so"))
        line = self.running.wait_for_log(r"forbidden:((?: [a-z-]+=\d+)+)").group(1)
        self.results = {name: int(number) for name, number in
                        (word.split("=") for word in line.split())}

    def test_everything_is_refused(self):
        expected = dict.fromkeys(self.results, errno.EPERM)
        expected["packets"] = errno.EAFNOSUPPORT
        if "(dumpable)" in _VERSION:
            expected["dumpable"] = 0
        self.assertEqual(self.results, expected)
        self.assertIn("shell", self.results)

    def test_core_and_worker_live(self):
        workers = self.running.workers()
        self.running.wait_keys()
        with self.running.connect() as client:
            self.assert_signs(client, self.key)
        self.assertEqual(self.running.workers(), workers)
        self.assert_serves(self.running)


@unittest.skipUnless(shutil.which("strace"), "needs strace")
class TestGoodModules(SandboxTest):
    """Each does its whole work under the filter, and no call of it is refused."""

    def traced(self, config, **kwargs):
        """An agent with a protocol of the calls that failed, in it and in its children."""
        self.trace = Path(self.token().dir, "trace")
        agent = self.agent(config, wrap=["strace", "--daemonize", "--follow-forks", "-qq",
                                         "--failed-only", "--signal=none", "-o", str(self.trace)], **kwargs)
        self.in_force(agent.pid)
        return agent

    def stop(self, agent):
        status = Path(f"/proc/{agent.pid}/status").read_text()
        tracer = int(re.search(r"^TracerPid:\t(\d+)", status, re.M).group(1))
        agent.stop()
        poll_until(lambda: not harness.is_alive(tracer), what="the protocol is whole")

    def refused(self, agent):
        self.stop(agent)
        return re.findall(r"^.* = -1 (?:EPERM|EAFNOSUPPORT) .*$",
                          self.trace.read_text(errors="replace"), re.M)

    def assert_nothing_was_refused(self, agent):
        self.assertEqual(self.refused(agent), [])

    def test_the_protocol_has_what_is_refused(self):
        agent = self.traced(f"[module bad]\npath = {TOOLS}/bad-module-forbidden.so\n")
        agent.wait_for_log("forbidden:")
        self.assertTrue([line for line in self.refused(agent) if "ptrace(" in line])

    def assert_works(self, token, *kinds):
        """Finding, login and signatures."""
        schemes = {"EC:prime256v1": wire.ECDSA_SHA256, "rsa:2048": wire.RSA_PSS_SHA256}
        keys = [(token.key(kind, kind=kind), schemes[kind]) for kind in kinds]
        agent = self.traced(token.config(workers=1))
        agent.wait_keys(len(keys), deadline=60)
        with agent.connect() as client:
            for key, scheme in keys:
                with self.subTest(key.label):
                    self.assert_signs(client, key, scheme)
        self.assert_nothing_was_refused(agent)

    def test_softhsm(self):
        self.assert_works(self.token(), "EC:prime256v1", "rsa:2048")

    @unittest.skipUnless(swtpm.IS_THERE, "needs swtpm and libtpm2_pkcs11")
    def test_tpm(self):
        """A TPM for each: without a resource manager one has room for few keys at a time."""
        for kind in ("EC:prime256v1", "rsa:2048"):
            token = swtpm.TpmToken(pin="123456")
            self.addCleanup(token.remove)
            self.assert_works(token, kind)

    def test_modules_for_cards(self):
        """Where no pcscd runs ykcs11 says that its device is at fault."""
        for path in _CARD_MODULES:
            with self.subTest(path.name):
                agent = self.traced(f"[module cards]\npath = {path}\n")
                agent.wait_for(lambda status: all(
                    module.state == ModuleState.READY or "CKR_DEVICE_ERROR" in module.text or
                    "pcscd" in module.text
                    for module in status.modules), what=agent.log)
                self.assert_nothing_was_refused(agent)

    def test_discovery_by_p11_kit(self):
        """Every module that p11-kit knows on this machine is loaded."""
        agent = self.traced("", discover=True)
        agent.wait_for(lambda status: status.modules and all(
            module.state != ModuleState.STARTING for module in status.modules), what=agent.log)
        self.assert_nothing_was_refused(agent)


if __name__ == "__main__":
    harness.main()
