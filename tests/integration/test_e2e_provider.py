# SPDX-License-Identifier: Apache-2.0
"""The provider in a program that lives long: agent restarts, forks, threads, no agent at all."""

import os
import time

import wire
from e2e import E2ETest, Program, main


class TestLongLife(E2ETest):
    def test_agent_restarts_between_requests(self):
        program = Program(self)
        self.assertEqual(program.say("get"), "CN=work")
        self.agent.stop()
        self.agent.start()
        self.agent.wait_keys(2)
        self.assertEqual(program.say("get"), "CN=work")
        self.assertEqual(program.finish(), (0, ""))

    def test_agent_is_away_for_a_while(self):
        program = Program(self)
        self.assertEqual(program.say("get"), "CN=work")
        self.agent.stop()
        self.assertIn("error", program.say("get"))
        self.agent.start()
        self.agent.wait_keys(2)
        self.assertEqual(program.say("get"), "CN=work")
        self.assertEqual(program.finish(), (0, ""))

    def test_agent_is_killed(self):
        program = Program(self)
        self.assertEqual(program.say("get"), "CN=work")
        self.agent.process.kill()
        self.agent.process.wait()
        self.agent.start()
        self.agent.wait_keys(2)
        self.assertEqual(program.say("get"), "CN=work")

    def test_program_starts_before_the_agent(self):
        self.agent.stop()
        program = Program(self)
        said = program.say("get")
        self.agent.start()
        self.agent.wait_keys(2)
        self.assertIn("error", said)
        self.assertEqual(program.say("get"), "CN=work")

    def test_many_handshakes_keep_descriptors_flat(self):
        program = Program(self)
        for _ in range(5):
            program.say("fresh")
        before = len(os.listdir(f"/proc/{program.process.pid}/fd"))
        for _ in range(50):
            self.assertEqual(program.say("fresh"), "CN=work")
        self.assertLessEqual(len(os.listdir(f"/proc/{program.process.pid}/fd")), before + 1)


class TestForkAndThreads(E2ETest):
    def test_fork_after_use(self):
        program = Program(self)
        self.assertEqual(program.say("get"), "CN=work")
        self.assertEqual(program.say("fork"), "CN=work")
        self.assertEqual(program.say("get"), "CN=work")
        self.assertEqual(program.finish(), (0, ""))

    def test_fork_before_use(self):
        program = Program(self)
        self.assertEqual(program.say("fork"), "CN=work")
        self.assertEqual(program.say("get"), "CN=work")

    def test_fork_in_a_thread(self):
        program = Program(self)
        self.assertEqual(program.say("threads"), "CN=work x8")
        self.assertEqual(program.say("fork-in-thread"), "CN=work")
        self.assertEqual(program.say("threads"), "CN=work x8")

    def test_exec_inherits_no_connection(self):
        program = Program(self)
        self.assertEqual(program.say("get"), "CN=work")
        said = program.say("exec")
        self.assertIn("CN=work ", said)
        self.assertNotIn("socket:", said)

    def test_threads(self):
        for label in self.KEYS:
            with self.subTest(label):
                program = Program(self, label)
                self.assertEqual(program.say("threads"), f"CN={label} x8")
                self.assertEqual(program.finish(), (0, ""))


class TestNoAgent(E2ETest):
    AWAY = {"MTLS_AGENT_SOCK": "/nonexistent/agent.sock"}

    def curl(self, **env):
        return self.run_program("curl", "-sS", "--cacert", self.token.ca.path, "--cert",
                                self.cert_file("work"), "--key", self.key_file("work"),
                                self.nginx.url, env={"OPENSSL_CONF": str(self.conf), **env})

    def test_curl_fails_at_once_and_cleanly(self):
        start = time.monotonic()
        done = self.curl(**self.AWAY)
        self.assertLess(time.monotonic() - start, 5)
        self.assertGreater(done.returncode, 0)
        self.assertNotIn("CN=", done.stdout)

    def test_program_goes_on(self):
        program = Program(self, env=self.AWAY)
        self.assertIn("error", program.say("get"))
        self.assertIn("error", program.say("threads"))
        self.assertEqual(program.finish(), (0, ""))

    def test_program_without_use_of_it_is_undisturbed(self):
        done = self.run_program("openssl", "dgst", "-sha256", "/dev/null",
                                env={"OPENSSL_CONF": str(self.conf), **self.AWAY})
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class TestRoundTrips(E2ETest):
    def audit_count(self):
        return len(self.agent.audit())

    def test_one_handshake_is_one_request(self):
        """The size query and the second init of OpenSSL do not reach the agent."""
        for label in self.KEYS:
            with self.subTest(label):
                before = self.audit_count()
                program = Program(self, label)
                self.assertEqual(program.say("get"), f"CN={label}")
                self.assertEqual(self.audit_count() - before, 1)

    def test_loading_a_key_is_no_use_of_it(self):
        before = self.audit_count()
        done = self.run_program("openssl", "pkey", "-in", self.key_file("work"), "-pubout",
                                env={"OPENSSL_CONF": str(self.conf)})
        self.assertIn("BEGIN PUBLIC KEY", done.stdout, done.stderr)
        self.assertEqual(self.audit_count(), before)

    def test_audit_names_the_program(self):
        before = self.audit_count()
        done = self.run_program("curl", "-sS", "--cacert", self.token.ca.path, "--cert",
                                self.cert_file("work"), "--key", self.key_file("work"),
                                self.nginx.url, env={"OPENSSL_CONF": str(self.conf)})
        self.assert_verified(done, "work")
        self.assertIn('"exe":"/usr/bin/curl"', self.agent.audit()[before])

    def test_statistics_agree_with_the_audit(self):
        signed = len([line for line in self.agent.audit() if '"result":"ok"' in line])
        with wire.Wire(self.agent.socket) as client:
            self.assertEqual(client.status().signatures, signed)


if __name__ == "__main__":
    main()
