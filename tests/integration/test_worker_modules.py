# SPDX-License-Identifier: Apache-2.0
"""Files that are no usable PKCS#11 module: the error names the file, the other modules serve."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from faults import FaultTest, P11FAULT, TOOLS, main
from harness import AGENT_BIN, OTHER_UID, needs_root
from softhsm import MODULE
from wire import ModuleState

SOURCE_ROOT = Path(__file__).resolve().parents[2]


class TestRefusedByTheConfiguration(FaultTest):
    """Seen before anything is started from it."""

    def check_config(self, path):
        config = self.other_token().dir / "agent.conf"
        config.write_text(f"[module bad]\npath = {path}\n")
        done = subprocess.run([AGENT_BIN, "--config", config, "--check-config", "--allow-root"],
                              capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stderr, config

    def assert_named(self, path):
        code, text, config = self.check_config(path)
        self.assertEqual(code, 1, text)
        self.assertIn(f"{config}:2: ", text)
        self.assertIn(str(path), text)

    def scratch(self):
        return self.other_token().dir

    def test_missing_file(self):
        self.assert_named("/nonexistent/module.so")

    def test_directory(self):
        self.assert_named("/usr/lib")

    def test_fifo(self):
        fifo = self.scratch() / "fifo.so"
        os.mkfifo(fifo)
        self.assert_named(fifo)

    def test_relative_path(self):
        self.assert_named("module.so")

    def test_world_writable(self):
        copy = shutil.copy(MODULE, self.scratch() / "module.so")
        os.chmod(copy, 0o757)
        self.assert_named(copy)

    def test_group_writable(self):
        copy = shutil.copy(MODULE, self.scratch() / "module.so")
        os.chmod(copy, 0o775)
        self.assert_named(copy)

    def test_symlink_to_a_writable_file(self):
        directory = self.scratch()
        copy = shutil.copy(MODULE, directory / "module.so")
        os.chmod(copy, 0o757)
        (directory / "link.so").symlink_to(copy)
        self.assert_named(directory / "link.so")

    @needs_root
    def test_file_of_another_user(self):
        copy = shutil.copy(MODULE, self.scratch() / "module.so")
        os.chmod(copy, 0o755)
        os.chown(copy, OTHER_UID, OTHER_UID)
        self.assert_named(copy)

    def test_symlink_to_a_good_file_is_fine(self):
        link = self.scratch() / "link.so"
        link.symlink_to(MODULE)
        code, text, _ = self.check_config(link)
        self.assertEqual(code, 0, text)


class TestRefusedByTheLoader(FaultTest):
    """The file looks right from outside; the worker finds that it is not."""

    def assert_contained(self, path, states=(ModuleState.FAILED,)):
        other = self.other_token()
        agent = self.agent(f"[module faulty]\npath = {path}\n" + other.config(module="good"))
        agent.wait_keys(1)
        module = self.wait_module(agent, lambda m: m.state in states and m.text)
        self.assertEqual(module.path, str(path))
        if module.state == ModuleState.FAILED:
            self.assertIn(str(path), module.text)
            self.assertIn(str(path), agent.log())
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])
        self.assertEqual(self.module(agent, "good").restarts, 0)
        agent.stop()

    def scratch_file(self, content):
        path = self.other_token().dir / "module.so"
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    def test_not_elf(self):
        self.assert_contained(self.scratch_file(b"#!/bin/sh\nexit 0\n"))

    def test_empty_file(self):
        self.assert_contained(self.scratch_file(b""))

    def test_wrong_architecture(self):
        image = bytearray(P11FAULT.read_bytes())
        image[18:20] = b"\x16\x00"  # e_machine: EM_S390
        self.assert_contained(self.scratch_file(bytes(image)))

    def test_truncated_elf(self):
        """The loader itself may crash over it."""
        self.assert_contained(self.scratch_file(P11FAULT.read_bytes()[:2000]),
                              (ModuleState.FAILED, ModuleState.BACKOFF))

    def test_no_function_list(self):
        self.assert_contained(TOOLS / "bad-module-empty.so")

    def test_function_list_that_fails(self):
        """p11fault.so without a module behind it answers CKR_GENERAL_ERROR."""
        self.assert_contained(P11FAULT, (ModuleState.FAILED, ModuleState.BACKOFF))

    def test_constructor_that_exits(self):
        self.assert_contained(TOOLS / "bad-module-exits.so", (ModuleState.BACKOFF,))

    def test_exit_of_a_constructor_is_told(self):
        agent = self.agent(f"[module faulty]\npath = {TOOLS}/bad-module-exits.so\n")
        agent.wait_for_log(r"faulty: .*(ended|exit)")

    def test_constructor_that_crashes(self):
        self.assert_contained(TOOLS / "bad-module-crashes.so", (ModuleState.BACKOFF,))

    def test_own_module(self):
        """Known by its symbol, whatever the file is called."""
        copy = shutil.copy(TOOLS / "own-module-symbol.so", self.other_token().dir / "opensc-pkcs11.so")
        copy.chmod(0o755)
        for path in (TOOLS / "own-module-symbol.so", copy):
            self.assert_contained(path)
            self.assert_own(path, "is")

    def test_module_that_leads_to_the_own_one(self):
        path = TOOLS / "own-module-slot.so"
        self.assert_contained(path)
        self.assert_own(path, "leads to")

    def assert_own(self, path, how):
        agent = self.agent(f"[module faulty]\npath = {path}\n")
        module = self.wait_module(agent, lambda m: m.state == ModuleState.FAILED)
        self.assertIn(f"{path} {how} mtls-agent's own module", module.text)
        self.assertIn("path =", module.text)

    def test_permanent_failure_is_not_tried_again(self):
        path = TOOLS / "bad-module-empty.so"
        agent = self.agent(f"[module faulty]\npath = {path}\n")
        module = self.wait_module(agent, lambda m: m.state == ModuleState.FAILED)
        self.assertEqual(module.workers, 0)
        self.assertEqual(agent.workers(), [])


class TestLeftOutOfP11Kit(FaultTest):
    """What p11-kit's registry (pkcs11.conf(5)) has for programs is not for the agent."""

    def modules(self, **registry):
        """What the agent serves when its user has registered these: a file, or more lines."""
        agent = self.agent("[agent]\nusers = root\n", start=False, discover=True,
                           uid=OTHER_UID)
        directory = agent.dir / ".config/pkcs11/modules"
        directory.mkdir(parents=True)
        for name, (path, *lines) in registry.items():
            copy = shutil.copy(path, agent.dir / f"{name}.so")
            copy.chmod(0o755)
            text = "\n".join([f"module: {copy}", *lines])
            (directory / f"{name}.module").write_text(text + "\n")
        agent.start()
        return {module.name for module in agent.status().modules}

    @needs_root
    def test_own_module_under_another_name(self):
        modules = self.modules(vendor=[TOOLS / "own-module-whole.so"], good=[MODULE])
        self.assertIn("good", modules)
        self.assertNotIn("vendor", modules)

    @needs_root
    def test_what_is_disabled_in_the_worker(self):
        """As the module file that is installed says it."""
        text = (SOURCE_ROOT / "client/p11-kit/mtls-agent.module.in").read_text()
        line = re.search(r"(?m)^disable-in: .*$", text).group()
        modules = self.modules(vendor=[MODULE, line], good=[MODULE])
        self.assertIn("good", modules)
        self.assertNotIn("vendor", modules)


if __name__ == "__main__":
    main()
