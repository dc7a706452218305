# SPDX-License-Identifier: Apache-2.0
"""What the tests of `mtls setup` share: a home directory, and an agent that reads its files there."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import harness
from harness import AGENT_BIN, BUILD_ROOT, IntegrationTest, MTLS_BIN, PROVIDER_DIR

PKCS11_MODULE = Path(os.environ.get("MTLS_AGENT_PKCS11_MODULE") or
                     BUILD_ROOT / "client/module/mtls-agent-pkcs11.so")
RUN_SECONDS = 60

# Where a distribution's files would get in between.
SYSTEM_CONFIG = Path("/etc/mtls-agent/agent.conf")


class HomeAgent(harness.Agent):
    """An agent without --config: it reads ~/.config/mtls-agent, as a user's own does."""

    def __init__(self, home, config, uid=None):
        super().__init__(config="", uid=uid)
        self.home = home
        self.config_file = home / ".config/mtls-agent/agent.conf"
        self.config_file.parent.mkdir(parents=True, mode=0o700)
        self.configure(config)
        for path in [home, *home.rglob("*")] if uid else []:
            os.chown(path, uid, uid)

    def command(self):
        command = super().command()
        at = command.index("--config")
        return command[:at] + command[at + 2:]

    def end(self):
        """Gently: SoftHSM killed in the middle of a login takes the token with it, and the next test
        has the same one."""
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            super().end()

    def environment(self):
        return {**super().environment(), "HOME": str(self.home)}


class SetupTest(IntegrationTest):
    """`self.home` and `self.agent_at_home` are of one test, the token of the class."""

    KEYS = {"work": "EC:prime256v1"}
    SECTIONS = ""
    UID = None  # run agent and programs as this user

    @classmethod
    def setUpClass(cls):
        if SYSTEM_CONFIG.exists():
            raise unittest.SkipTest(f"{SYSTEM_CONFIG} would be read as well")
        cls.the_token = cls.class_token()
        for label, kind in cls.KEYS.items():
            cls.the_token.key(label, kind)
        if cls.UID:
            cls.the_token.give_to(cls.UID)

    def setUp(self):
        self.home = Path(tempfile.mkdtemp(prefix="mtls-home-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.agent_at_home = HomeAgent(self.home, self.the_token.config() + self.SECTIONS,
                                       self.UID)
        self.addCleanup(self.agent_at_home.end)
        self.agent_at_home.start()
        self.agent_at_home.wait_keys(len(self.KEYS))

    @property
    def config(self):
        return self.home / ".config/mtls-agent"

    def environment(self):
        agent = self.agent_at_home
        passed = {name: os.environ[name] for name in harness._PASSED_ON if name in os.environ}
        return {**passed, "PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8",
                "XDG_RUNTIME_DIR": str(agent.run_dir), "MTLS_AGENT_SOCK": str(agent.socket),
                "MTLS_AGENT_BIN": AGENT_BIN, "MTLS_AGENT_PKCS11_MODULE": str(PKCS11_MODULE),
                "OPENSSL_MODULES": PROVIDER_DIR}

    def run_program(self, *args, **env):
        as_user = ["setpriv", f"--reuid={self.UID}", f"--regid={self.UID}", "--clear-groups", "--"]
        return subprocess.run([*(as_user if self.UID else []), *map(str, args)], env={**self.environment(), **env},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              start_new_session=True,  # no terminal to ask at
                              timeout=RUN_SECONDS, cwd=self.home, check=False)

    def mtls(self, *args):
        return self.run_program(MTLS_BIN, *args)

    def setup(self, *args):
        """`mtls setup` that must succeed; what it printed."""
        done = self.mtls("setup", *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""), f"{args}\n{done.stdout}")
        return done.stdout

    def shell(self, line, **env):
        """A line as it was printed under "Use:"."""
        return self.run_program("sh", "-c", line, **env)

    def may_sign_digests(self, label="work"):
        with self.agent_at_home.connect() as client:
            return next(key for key in client.keys() if key.name == label).policy == 2


def used(text):
    """The lines under "Use:"."""
    return text.partition("Use:\n")[2].partition("\nChecked:")[0].replace("\n  ", "\n")[2:].split("\n")
