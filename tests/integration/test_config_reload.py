# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: a broken configuration changes nothing, a good one loses no request."""

import json
import os
import signal

import harness
import tls_messages
import wire
from harness import Code, IntegrationTest, Kind, MODULE, poll_until


class ReloadTest(IntegrationTest):
    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work")
        self.the_agent = self.agent(start=False)
        self.base = self.the_token.config(workers=1)
        self.the_agent.configure(self.base)
        self.the_agent.start()
        self.the_agent.wait_keys()
        self.client = self.connect(self.the_agent)

    def tearDown(self):
        self.assert_serves(self.the_agent)

    def digest_request(self):
        content = os.urandom(32)
        self.client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.DIGEST, content)

    def digest_section(self, sign="digest"):
        return f"[key alias]\nuri = pkcs11:token=demo;object=work\nsign = {sign}\n"


class TestBrokenReload(ReloadTest):
    BROKEN = {
        "syntax": "[agent\nnonsense",
        "unknown key": "[agent]\nbogus = 1\n",
        "unknown section": "[tunnel git]\nlisten = 1\n",
        "bad value": "[agent]\naudit = loud\n",
        "missing certificate": "[key a]\nuri = pkcs11:object=a\nchain = /nowhere/ca.pem\n",
        "missing module": "[module other]\npath = /nowhere/module.so\n",
    }

    def assert_reload_refused(self, mention):
        workers = self.the_agent.workers()
        self.the_agent.reload()
        status = self.the_agent.wait_for(lambda s: s.config_text, what="refusal in the status")
        self.assertIn(mention, status.config_text)
        self.assertIn(mention, self.the_agent.log())
        self.assertEqual(self.the_agent.workers(), workers)
        self.assert_signs(self.client, self.key)

    def test_each_kind_of_mistake_leaves_the_old_one_in_force(self):
        for kind, text in self.BROKEN.items():
            with self.subTest(kind=kind):
                self.the_agent.configure(self.base + text)
                self.assert_reload_refused(str(self.the_agent.config_file))

    def test_file_that_everyone_can_write_is_not_taken(self):
        self.the_agent.configure(self.base)
        self.the_agent.config_file.chmod(0o666)
        self.assert_reload_refused(str(self.the_agent.config_file))

    def test_file_that_is_gone_is_not_taken(self):
        self.the_agent.config_file.unlink()
        self.assert_reload_refused(str(self.the_agent.config_file))

    def test_file_that_is_a_directory_is_not_taken(self):
        self.the_agent.config_file.unlink()
        self.the_agent.config_file.mkdir()
        self.assert_reload_refused(str(self.the_agent.config_file))

    def test_fifo_in_place_of_the_file_blocks_nothing(self):
        self.the_agent.config_file.unlink()
        os.mkfifo(self.the_agent.config_file)
        self.assert_reload_refused(str(self.the_agent.config_file))

    def test_good_reload_after_a_broken_one_clears_the_status(self):
        self.the_agent.reload(self.base + "[agent]\nbogus = 1\n")
        self.the_agent.wait_for(lambda s: s.config_text)
        self.the_agent.reload(self.base)
        self.assertEqual(self.the_agent.status().config_text, "")


class TestReload(ReloadTest):
    def test_reload_is_announced_to_the_service_manager(self):
        self.the_agent.reload(self.base)
        self.assertRegex(self.the_agent.notifications, r"(?s)RELOADING=1.*READY=1")

    def test_unchanged_configuration_keeps_the_workers(self):
        workers = self.the_agent.workers()
        self.the_agent.reload()
        self.assertEqual(self.the_agent.workers(), workers)
        self.assert_signs(self.client, self.key)

    def test_policy_of_a_key_changes_with_the_reload(self):
        self.assert_refused(Code.POLICY, self.digest_request)
        self.the_agent.reload(self.base + self.digest_section())
        self.digest_request()
        self.the_agent.reload(self.base + self.digest_section("tls"))
        self.assert_refused(Code.POLICY, self.digest_request)

    def test_name_of_a_key_changes_with_the_reload(self):
        self.assert_refused(Code.NO_KEY, self.client.keys, "alias")
        self.the_agent.reload(self.base + self.digest_section())
        self.assertEqual([k.hash for k in self.client.keys("alias")], [self.key.hash])

    def test_certificate_from_a_file_is_taken(self):
        other = self.the_token.ca.issue(harness.softhsm.pem_from_spki(self.key.spki), "/CN=renewed")
        path = self.the_agent.dir / "renewed.pem"
        path.write_bytes(other)
        self.the_agent.reload(self.base + "[key work]\nuri = pkcs11:object=work\n"
                              f"certificate = {path}\nchain = {self.the_token.ca.path}\n")
        key = self.client.keys("work")[0]
        self.assertEqual(key.certs, [harness.softhsm.der_from_pem(other),
                                     harness.softhsm.der_from_pem(self.the_token.ca.pem)])

    def test_module_that_was_added_is_served(self):
        second = self.token(label="second")
        key = second.key("other")
        self.the_agent.reload(self.base + second.config(module="second"))
        self.the_agent.wait_keys(2)
        self.assert_signs(self.client, key)
        self.assert_signs(self.client, self.key)

    def test_module_that_was_removed_is_gone_with_its_workers_and_keys(self):
        second = self.token(label="second")
        second.key("other")
        self.the_agent.reload(self.base + second.config(module="second"))
        self.the_agent.wait_keys(2)
        workers = len(self.the_agent.workers())
        self.the_agent.reload(self.base)
        self.the_agent.wait_for(lambda s: [m.name for m in s.modules] == ["softhsm"])
        poll_until(lambda: len(self.the_agent.workers()) < workers, what="workers ended")
        self.assertEqual([k.name for k in self.client.keys()], ["work"])
        self.assert_signs(self.client, self.key)

    def test_module_whose_section_changed_is_restarted(self):
        workers = set(self.the_agent.workers())
        self.the_agent.reload(self.the_token.config(workers=1, verify="always"))
        poll_until(lambda: not workers & set(self.the_agent.workers()), what="old workers ended")
        self.the_agent.wait_keys()
        self.assert_signs(self.client, self.key)

    def test_audit_target_changes_with_the_reload(self):
        self.the_agent.reload(f"{self.base}[agent]\naudit = file:{self.the_agent.audit_file}\n")
        self.assert_signs(self.client, self.key)
        poll_until(self.the_agent.audit, what="audit line")

    def test_subscribers_and_connections_live_on(self):
        self.client.subscribe()
        self.the_agent.reload(self.base + self.digest_section())
        self.assertEqual(self.client.event().kind & ~wire.EVENT_ALL, 0)
        self.assert_signs(self.client, self.key)

    def test_many_reloads_at_once_leave_no_trace(self):
        self.the_agent.reload()
        fds = self.the_agent.fd_count()
        for _ in range(10):  # in bursts: the notification socket holds ten messages unread
            for _ in range(3):
                self.the_agent.process.send_signal(signal.SIGHUP)
            self.the_agent.reload()
        self.assert_signs(self.client, self.key)
        poll_until(lambda: self.the_agent.fd_count() <= fds, what="descriptors freed")


class TestReloadUnderLoad(IntegrationTest):
    """Requests that take long enough to be under way when the signal comes."""

    COUNT = 50

    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work", "rsa:4096")
        self.the_agent = self.agent(start=False)
        self.sections = f"[agent]\naudit = file:{self.the_agent.audit_file}\n" + \
            "[key work]\nuri = pkcs11:object=work\nsign = "
        self.the_agent.configure(self.the_token.config() + self.sections + "digest\n")
        self.the_agent.start()
        self.the_agent.wait_keys()
        self.client = self.connect(self.the_agent)

    def send(self, kind):
        content = tls_messages.certificate_verify() if kind == Kind.TLS13 else os.urandom(32)
        for i in range(1, self.COUNT + 1):
            self.client.send(wire.sign(i, self.key.hash, wire.RSA_PSS_SHA256, kind, content))
        self.the_agent.wait_for(lambda s: s.queued > 10, what="requests under way")

    def assert_all_signed(self):
        replies = [self.client.receive() for _ in range(self.COUNT)]
        self.assertEqual({type(r) for r in replies}, {wire.SignReply})
        self.assertEqual(sorted(r.id for r in replies), list(range(1, self.COUNT + 1)))

    def test_requests_in_flight_finish_under_the_old_policy(self):
        self.send(Kind.DIGEST)
        self.the_agent.reload(self.the_token.config() + self.sections + "tls\n")
        other = self.connect(self.the_agent)
        self.assert_refused(Code.POLICY, other.sign, self.key.hash, wire.RSA_PSS_SHA256,
                            Kind.DIGEST, os.urandom(32))
        self.assert_all_signed()
        results = [json.loads(line)["result"] for line in self.the_agent.audit()]
        self.assertEqual(results.count("ok"), self.COUNT)

    def test_requests_in_flight_survive_a_changed_module(self):
        self.send(Kind.TLS13)
        self.the_agent.reload(self.the_token.config(verify="always") + self.sections + "tls\n")
        self.assert_all_signed()

    def test_requests_in_flight_get_a_code_when_their_module_is_removed(self):
        self.send(Kind.TLS13)
        self.the_agent.reload(f"[module other]\npath = {MODULE}\n"
                              "environment = SOFTHSM2_CONF=/nowhere\n")
        replies = [self.client.receive() for _ in range(self.COUNT)]
        self.assertEqual(sorted(r.id for r in replies), list(range(1, self.COUNT + 1)))
        for reply in replies:
            if isinstance(reply, wire.Error):
                self.assertIn(reply.code, (Code.NO_KEY, Code.TOKEN_GONE, Code.INTERNAL))

    def test_a_broken_reload_disturbs_nothing(self):
        self.send(Kind.DIGEST)
        self.the_agent.reload(self.the_token.config() + "[bogus]\nx = 1\n")
        self.assert_all_signed()


if __name__ == "__main__":
    harness.main()
