# SPDX-License-Identifier: Apache-2.0
"""What configured values do in a running agent, where --check-config cannot show it."""

import os
import tempfile

import harness
from harness import IntegrationTest, KeyState, poll_until


class TestEffect(IntegrationTest):
    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work")

    def assert_works(self, text):
        agent = self.agent(text)
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, self.key)
        return agent

    def test_command_with_a_semicolon_is_run_whole_or_refused(self):
        agent = self.agent(self.the_token.config(pin="command:true ; echo 1234"), start=False)
        agent.launch()
        try:
            agent.wait_notified("READY=1")
        except AssertionError:
            self.assertIn(str(agent.config_file), agent.log())
            return
        agent.wait_keys()

    def test_keys_stand_under_their_names_and_their_labels(self):
        agent = self.assert_works(self.the_token.config() +
                                  "[key alias]\nuri = pkcs11:token=demo;object=work\n")
        with agent.connect() as client:
            spki = "sha256:" + self.key.hash.hex()[:8]
            for selector in ("alias", "pkcs11:object=work", "pkcs11:token=demo;id=%01", spki,
                             "sha256:" + self.key.hash.hex()):
                with self.subTest(selector=selector):
                    self.assertEqual([k.name for k in client.keys(selector)], ["alias"])

    def test_two_modules_are_both_served(self):
        second = self.token(label="second")
        other = second.key("other", "rsa:2048")
        agent = self.assert_works(self.the_token.config() + second.config(module="second"))
        agent.wait_keys(2)
        with agent.connect() as client:
            self.assertEqual(sorted(k.name for k in client.keys()), ["other", "work"])
            self.assert_signs(client, other, harness.wire.RSA_PSS_SHA256)

    def test_token_that_waits_for_its_pin_is_listed_as_locked(self):
        agent = self.agent(self.the_token.config(pin="ask"))
        agent.wait_for(lambda s: s.tokens, what="token seen")
        with agent.connect() as client:
            keys = client.keys()
            if keys:  # a module need not show private keys before the login
                self.assertEqual({k.state for k in keys}, {KeyState.LOCKED})
            client.unlock(self.the_token.pin, "demo")
            self.assert_signs(client, self.key)
            client.lock("demo")
            self.assert_refused(harness.Code.LOCKED, self.assert_signs, client, self.key)

    def test_modules_of_the_machine_are_served_without_any_configuration(self):
        agent = self.agent(discover=True, env={"SOFTHSM2_CONF": str(self.the_token.conf)})
        agent.wait_for(lambda s: any(m.path.endswith("/libsofthsm2.so") for m in s.modules),
                       what="SoftHSM found through p11-kit")
        agent.wait_for(lambda s: [t.label for t in s.tokens] == ["demo"], what="token found")

    def has_discovered(self, agent):
        agent.wait_for(lambda s: [m.path.rpartition("/")[2] for m in s.modules
                                  if m.name != "own"].count("libsofthsm2.so") == 1,
                       what="SoftHSM found through p11-kit")
        agent.wait_for(lambda s: [t.label for t in s.tokens] == ["demo"], what="token found")

    def test_modules_of_the_machine_are_served_after_the_last_section_is_gone(self):
        agent = self.agent(self.the_token.config(module="own"), discover=True,
                           env={"SOFTHSM2_CONF": str(self.the_token.conf)})
        agent.wait_keys()
        agent.reload("")
        self.has_discovered(agent)
        agent.wait_for(lambda s: all(m.name != "own" for m in s.modules), what="module left")
        worker = agent.workers()
        agent.reload("")
        self.has_discovered(agent)
        agent.reload(self.the_token.config(module="own"))
        agent.wait_for(lambda s: [m.name for m in s.modules] == ["own"], what="only the configured")
        self.assertNotEqual(agent.workers(), worker)
        agent.wait_keys()

    def test_module_that_hangs_p11_kit_is_given_up(self):
        """The worker that asks p11-kit loads all modules; the first one here never comes back."""
        helpers = tempfile.TemporaryDirectory(prefix="mtls-helpers-")
        self.addCleanup(helpers.cleanup)
        first = os.path.join(helpers.name, "first")
        script = os.path.join(helpers.name, "token-worker")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nmkdir {first} 2>/dev/null && exec sleep 1000\n"
                       f"exec {harness.LIBEXECDIR}/token-worker\n")
        os.chmod(script, 0o755)
        agent = self.agent(discover=True, env={"SOFTHSM2_CONF": str(self.the_token.conf),
                                               "MTLS_AGENT_LIBEXECDIR": helpers.name})
        agent.wait_for_log("took too long")
        self.assertEqual(agent.status().modules, [])
        agent.reload()
        self.has_discovered(agent)

    def test_workers_are_as_many_as_configured(self):
        agent = self.assert_works(self.the_token.config(workers=3))
        agent.wait_for(lambda s: s.modules[0].workers == 3, what="three workers")
        poll_until(lambda: len(agent.workers()) == 3, what="three workers")

    def test_configuration_of_the_user_is_read_without_an_option(self):
        agent = self.agent(start=False)
        home = agent.dir / "xdg" / "mtls-agent"
        home.mkdir(parents=True)
        (home / "agent.conf").write_text(self.the_token.config())
        agent.env["XDG_CONFIG_HOME"] = str(home.parent)
        agent.config_file = None
        agent.start()
        agent.wait_keys()


if __name__ == "__main__":
    harness.main()
