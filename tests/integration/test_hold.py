# SPDX-License-Identifier: Apache-2.0
"""Requests that wait for a person: for a token that is out, for a PIN. Somebody must be told of them."""

import json
import os
import select
import signal
import socket
import subprocess
import time

import harness
import tls_messages
import wire
from faults import FaultTest, FaultyToken
from harness import Code, IntegrationTest, Kind, KeyState, poll_until

WAIT = "[agent]\nwait = 2s\n"
WAIT_SECONDS = 2.0
WAITERS = 20


class HoldTest(FaultTest):
    def watcher(self, agent):
        """Who shows to a person what is waited for."""
        client = self.connect(agent)
        client.subscribe(wire.WAITING)
        return client

    def take_out(self, agent, token):
        token.rules("removed demo")
        agent.kill_workers()
        poll_until(lambda: not agent.status().tokens, what="the token is not listed")

    def absent(self, **options):
        """A token that was there and is out."""
        token = self.faulty_token()
        agent = self.serve(token, workers=1, **options)
        self.take_out(agent, token)
        return token, agent

    def assert_signed(self, client, request, key):
        reply = client.wait(request)
        self.assertNotIsInstance(reply, wire.Error, getattr(reply, "text", ""))

    def assert_error(self, client, request, code):
        reply = client.wait(request)
        self.assertIsInstance(reply, wire.Error)
        self.assertEqual(reply.code, code, reply.text)
        return reply.text

    def wait_queued(self, agent, count):
        agent.wait_for(lambda status: status.queued == count, what=f"{count} requests wait")


class TestHiddenKey(HoldTest):
    """Without a certificate, and its public half is private as well: a login alone shows it."""

    def setUp(self):
        self.token = FaultyToken()
        self.addCleanup(self.token.remove)
        self.addCleanup(self.token.check)
        self.hidden = self.token.key("work", cert=False)
        self.token.tool("--delete-object", "--type", "pubkey", "--id", self.hidden.id.hex())
        public = self.token.dir / "public.der"
        public.write_bytes(self.hidden.spki)
        self.token.tool("--write-object", public, "--type", "pubkey", "--private",
                        "--id", self.hidden.id.hex(), "--label", "work", login=True)

    def opened(self):
        agent = self.serve(self.token, pin="ask", ready=False, workers=1)
        agent.wait_for(lambda status: status.tokens)
        with agent.connect() as client:
            self.assertEqual(client.keys(), [])
            client.unlock(self.token.pin)
            poll_until(client.keys, what="the key is listed")
            self.assert_signs(client, self.hidden)
        return agent

    def assert_listed(self, agent, state):
        def states():
            with agent.connect() as client:
                return [key.state for key in client.keys()]
        poll_until(lambda: states() == [state], what=lambda: f"{state}, there is {states()}")

    def assert_waits_for_a_person(self, agent):
        """And is signed when that one has given the PIN."""
        self.assert_listed(agent, KeyState.LOCKED)
        watcher, client = self.watcher(agent), self.connect(agent)
        request = self.ask(client, self.hidden)
        self.assertIn("mtls unlock", watcher.event().text)
        with agent.connect() as person:
            person.unlock(self.token.pin)
        self.assert_signed(client, request, self.hidden)
        self.assert_listed(agent, KeyState.READY)

    def test_fresh_worker(self):
        agent = self.opened()
        agent.kill_workers()
        self.assert_waits_for_a_person(agent)

    def test_token_that_is_back(self):
        agent = self.opened()
        self.take_out(agent, self.token)
        self.assert_listed(agent, KeyState.ABSENT)
        self.token.rules()
        self.assert_waits_for_a_person(agent)

    def test_request_that_waited_for_the_token_waits_for_its_pin(self):
        agent = self.opened()
        self.take_out(agent, self.token)
        watcher, client = self.watcher(agent), self.connect(agent)
        request = self.ask(client, self.hidden)
        self.assertIn("put it in", watcher.event().text)
        self.token.rules()
        while "mtls unlock" not in watcher.event().text:
            pass
        with agent.connect() as person:
            person.unlock(self.token.pin)
        self.assert_signed(client, request, self.hidden)

    def test_token_that_was_locked(self):
        agent = self.opened()
        with agent.connect() as client:
            client.lock()
        self.assert_listed(agent, KeyState.LOCKED)
        with agent.connect() as client:
            text = self.assert_error(client, self.ask(client, self.hidden), Code.LOCKED)
        self.assertIn("mtls unlock", text)

    def test_key_that_was_deleted_is_gone_after_the_login(self):
        agent = self.opened()
        self.take_out(agent, self.token)
        self.token.rules()
        self.assert_listed(agent, KeyState.LOCKED)
        self.token.tool("--delete-object", "--type", "privkey", "--id", self.hidden.id.hex(),
                        login=True)
        self.take_out(agent, self.token)
        self.token.rules()
        with agent.connect() as client:
            poll_until(lambda: self.try_unlock(client), what="it is unlocked")
            poll_until(lambda: client.keys() == [], what="no key is listed")

    def test_key_that_was_made_meanwhile_is_known_as_well(self):
        agent = self.opened()
        self.take_out(agent, self.token)
        self.token.rules()
        self.assert_listed(agent, KeyState.LOCKED)
        self.token.key("home")
        self.take_out(agent, self.token)
        self.token.rules()
        self.wait_states(agent, {"work": KeyState.LOCKED, "home": KeyState.LOCKED})
        self.take_out(agent, self.token)
        self.wait_states(agent, {"work": KeyState.ABSENT, "home": KeyState.ABSENT})

    def wait_states(self, agent, expected):
        def states():
            with agent.connect() as client:
                return {key.name: key.state for key in client.keys()}
        poll_until(lambda: states() == expected, what=lambda: f"{expected}, there is {states()}")

    def try_unlock(self, client):
        try:
            client.unlock(self.token.pin)
        except wire.Refused:
            return False
        return True


class TestAbsentToken(HoldTest):
    def test_its_keys_are_listed_as_absent(self):
        token, agent = self.absent()
        with agent.connect() as client:
            keys = client.keys()
        self.assertEqual([(k.name, k.state) for k in keys], [("work", KeyState.ABSENT)])
        self.assertEqual(keys[0].certs[0], token.keys["work"].cert_der)

    def test_without_a_person_it_fails_at_once_and_says_what_is_missing(self):
        token, agent = self.absent()
        with agent.connect() as client:
            text = self.assert_error(client, self.ask(client, token.keys["work"]),
                                     Code.TOKEN_GONE)
        self.assertIn('"demo"', text)
        self.assertIn(token.serial, text)
        self.assertIn("put it in", text)

    def test_request_waits_and_is_signed_when_the_token_is_back(self):
        token, agent = self.absent()
        watcher, client = self.watcher(agent), self.connect(agent)
        request = self.ask(client, token.keys["work"])
        event = watcher.event()
        self.assertEqual((event.kind, event.subject), (wire.WAITING, "work"))
        for part in ("python", '"demo"', "put it in", f"pid {os.getpid()}"):
            self.assertIn(part, event.text)
        token.rules()
        self.assert_signed(client, request, token.keys["work"])
        self.assertEqual(watcher.event().text, "done")

    def test_what_is_told_is_of_who_still_waits(self):
        """Two keys of one token: each that was told of is over in the end."""
        token = self.faulty_token(keys={"work": "EC:prime256v1", "home": "EC:prime256v1"})
        agent = self.serve(token, workers=1)
        self.take_out(agent, token)
        watcher = self.watcher(agent)
        first, second = agent.connect(), self.connect(agent)
        self.ask(first, token.keys["work"])
        self.assertEqual(watcher.event().subject, "work")
        request = self.ask(second, token.keys["home"])
        self.wait_queued(agent, 2)
        first.close()
        events = [watcher.event(), watcher.event()]
        self.assertEqual({(e.subject, e.text == "done") for e in events},
                         {("work", True), ("home", False)})
        token.rules()
        self.assert_signed(second, request, token.keys["home"])
        event = watcher.event()
        self.assertEqual((event.subject, event.text), ("home", "done"))

    def test_who_waits_and_who_is_told_end_together(self):
        """The one is closed for its half frame, which tells the other, which takes nothing more."""
        token, agent = self.absent()
        waiter = self.connect(agent)
        watchers = [self.watcher(agent) for _ in range(3)]
        self.ask(waiter, token.keys["work"])
        for watcher in watchers:
            watcher.event()
            watcher.socket.shutdown(socket.SHUT_RD)
        waiter.socket.sendall(wire.status(99)[:3])
        agent.wait_for(lambda s: s.connections == 1, deadline=20, what="all are closed")
        token.rules()
        agent.wait_keys(1)

    def test_token_that_comes_back_with_less_is_refused(self):
        token = self.faulty_token(keys={"work": "rsa:2048"})
        agent = self.serve(token, workers=1)
        self.take_out(agent, token)
        self.watcher(agent)
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"], scheme=wire.RSA_PSS_SHA256)
        self.wait_queued(agent, 1)
        token.rules("no-mechanism d", "no-mechanism 3")  # neither PSS nor raw RSA
        text = self.assert_error(client, request, Code.POLICY)
        self.assertIn("cannot do the signature scheme", text)

    def test_many_wait_for_one_token_and_it_is_told_once(self):
        token, agent = self.absent()
        watcher = self.watcher(agent)
        clients = [self.connect(agent) for _ in range(WAITERS)]
        requests = [self.ask(client, token.keys["work"]) for client in clients]
        self.wait_queued(agent, WAITERS)
        token.rules()
        for client, request in zip(clients, requests):
            self.assert_signed(client, request, token.keys["work"])
        self.assertNotEqual(watcher.event().text, "done")
        self.assertEqual(watcher.event().text, "done")
        with self.assertRaises(TimeoutError):
            watcher.event(deadline=0.2)

    def test_wait_is_bounded_by_the_configuration(self):
        token, agent = self.absent(sections=WAIT)
        self.watcher(agent)
        client = self.connect(agent)
        start = time.monotonic()
        text = self.assert_error(client, self.ask(client, token.keys["work"]), Code.TOKEN_GONE)
        self.assertGreaterEqual(time.monotonic() - start, WAIT_SECONDS)
        self.assertIn("nobody came within 2 s", text)

    def test_wait_is_bounded_by_the_client(self):
        token, agent = self.absent()
        watcher, client = self.watcher(agent), self.connect(agent)
        text = self.assert_error(client, self.ask(client, token.keys["work"], 300), Code.TIMEOUT)
        self.assertIn("put it in", text)
        watcher.event()
        self.assertEqual(watcher.event().text, "done")

    def test_no_wait_when_the_configuration_says_so(self):
        token, agent = self.absent(sections="[agent]\nwait = no\n")
        self.watcher(agent)
        with agent.connect() as client:
            self.assert_error(client, self.ask(client, token.keys["work"]), Code.TOKEN_GONE)

    def test_client_that_leaves_cancels_the_wait(self):
        token, agent = self.absent()
        watcher = self.watcher(agent)
        client = agent.connect()
        self.ask(client, token.keys["work"])
        watcher.event()
        client.close()
        self.assertEqual(watcher.event().text, "done")
        signatures = token.calls("C_Sign")
        token.rules()
        agent.wait_keys()
        self.assertEqual(token.calls("C_Sign"), signatures)

    def test_agent_that_ends_answers(self):
        token, agent = self.absent()
        self.watcher(agent)
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        self.wait_queued(agent, 1)
        agent.stop()
        self.assert_error(client, request, Code.BUSY)

    def test_requests_of_a_module_whose_token_is_in_go_on(self):
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, workers=1)
        token.rules("removed demo")
        watcher, client = self.watcher(agent), self.connect(agent)
        request = self.ask(client, token.keys["work"])
        watcher.event()
        self.assert_signs(client, other.keys["healthy"])
        token.rules()
        self.assert_signed(client, request, token.keys["work"])

    def test_policy_is_asked_before_anybody_is(self):
        token, agent = self.absent()
        watcher = self.watcher(agent)
        with agent.connect() as client:
            self.assert_refused(Code.POLICY, client.sign, token.keys["work"].hash,
                                wire.ECDSA_SHA256, Kind.DIGEST, bytes(32))
        with self.assertRaises(TimeoutError):
            watcher.event(deadline=0.2)

    def test_token_pulled_under_load_loses_no_request(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        self.watcher(agent)
        clients = [self.connect(agent) for _ in range(WAITERS)]
        token.rules("removed demo")
        requests = [self.ask(client, token.keys["work"]) for client in clients]
        poll_until(lambda: not agent.status().tokens, what="the token is not listed")
        token.rules()
        for client, request in zip(clients, requests):
            self.assert_signed(client, request, token.keys["work"])


class TestLockedToken(HoldTest):
    def locked(self, **options):
        token = self.faulty_token()
        agent = self.serve(token, ready=False, workers=1, pin="ask", **options)
        self.wait_token(agent, lambda t: True)
        return token, agent

    def test_without_a_person_it_fails_at_once(self):
        token, agent = self.locked()
        with agent.connect() as client:
            text = self.assert_error(client, self.ask(client, token.keys["work"]), Code.LOCKED)
        self.assertIn("mtls unlock", text)

    def test_requests_wait_for_the_pin(self):
        token, agent = self.locked()
        watcher = self.watcher(agent)
        clients = [self.connect(agent) for _ in range(WAITERS)]
        requests = [self.ask(client, token.keys["work"]) for client in clients]
        self.assertIn("mtls unlock 'demo'", watcher.event().text)
        self.wait_queued(agent, WAITERS)
        with agent.connect() as person:
            person.unlock(token.pin)
        for client, request in zip(clients, requests):
            self.assert_signed(client, request, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)
        self.assertEqual(watcher.event().text, "done")

    def test_absent_first_and_locked_then(self):
        token, agent = self.locked()
        self.take_out(agent, token)
        watcher, client = self.watcher(agent), self.connect(agent)
        request = self.ask(client, token.keys["work"])
        self.assertIn("put it in", watcher.event().text)
        token.rules()
        self.assertEqual(watcher.event().text, "done")
        self.assertIn("mtls unlock", watcher.event().text)
        with agent.connect() as person:
            person.unlock(token.pin)
        self.assert_signed(client, request, token.keys["work"])


class TestSpare(IntegrationTest):
    """The same key on two tokens, and two keys that one name stands for."""

    def setUp(self):
        self.tokens = [self.faulty(label) for label in ("first", "second")]

    def faulty(self, label):
        token = FaultyToken(label=label)
        self.addCleanup(token.remove)
        return token

    def serve(self, sections="", count=2):
        self.the_agent = self.agent(sections + "".join(
            token.config(module=token.label, workers=1) for token in self.tokens))
        self.the_agent.wait_keys(count)

    def remove(self, token):
        token.rules(f"removed {token.label}")
        for pid in token.calling_pids("C_Initialize"):
            if pid in self.the_agent.workers():
                os.kill(pid, signal.SIGKILL)
        poll_until(lambda: token.label not in [t.label for t in self.the_agent.status().tokens],
                   what="the token is gone")

    def listed(self, selector):
        with self.the_agent.connect() as client:
            return client.keys(selector)

    def same_key(self):
        key = self.tokens[0].import_key("work")
        self.tokens[1].import_key("work", copy_of=self.tokens[0])
        return key

    def test_same_key_is_signed_by_the_token_that_is_there(self):
        key = self.same_key()
        self.serve()
        for token in self.tokens:
            with self.subTest(token.label):
                self.remove(token)
                before = [t.calls("C_Sign") for t in self.tokens]
                with self.the_agent.connect() as client:
                    self.assert_signs(client, key)
                    self.assertEqual([k.state for k in client.keys("work")], [KeyState.READY])
                self.assertEqual(token.calls("C_Sign"), before[self.tokens.index(token)])
                token.rules()
                self.the_agent.wait_keys(2)

    def test_load_is_shared(self):
        key = self.same_key()
        self.serve()
        for token in self.tokens:
            token.rules("C_Sign delay 100")
        with self.the_agent.connect() as client:
            requests = [client.next_id() for _ in range(8)]
            for request in requests:
                client.send(wire.sign(request, key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                                      tls_messages.certificate_verify()))
            for request in requests:
                self.assertNotIsInstance(client.wait(request), wire.Error)
        for token in self.tokens:
            self.assertGreaterEqual(token.calls("C_Sign"), 3)

    def test_other_token_takes_over_what_waits(self):
        key = self.same_key()
        self.serve()
        self.tokens[0].rules("C_SignInit rv 32")  # pulled: every call says so
        with self.the_agent.connect() as client:
            for _ in range(4):
                self.assert_signs(client, key)

    def test_one_that_waits_for_its_pin_goes_before_one_that_fails(self):
        key = self.same_key()
        agent = self.agent(self.tokens[0].config(module="first", workers=1) +
                           self.tokens[1].config(module="second", workers=1, pin="ask"))
        agent.wait_for(lambda s: {t.label: t.state for t in s.tokens} ==
                       {"first": wire.TokenState.READY, "second": wire.TokenState.LOCKED},
                       what="both are there")
        self.tokens[0].rules("C_Initialize crash")
        agent.kill_workers()
        agent.wait_for(lambda s: wire.ModuleState.BACKOFF in [m.state for m in s.modules] and
                       [t.state for t in s.tokens if t.label == "second"] ==
                       [wire.TokenState.LOCKED], what="the first fails")
        watcher, client = self.connect(agent), self.connect(agent)
        watcher.subscribe(wire.WAITING)
        request = client.next_id()
        client.send(wire.sign(request, key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                              tls_messages.certificate_verify()))
        self.assertIn("mtls unlock 'second'", watcher.event().text)
        with agent.connect() as person:
            person.unlock(self.tokens[1].pin, "second")
        self.assertIsInstance(client.wait(request), wire.SignReply)

    def test_one_name_for_two_tokens(self):
        keys = [token.key("work") for token in self.tokens]
        self.serve("[key vpn]\n" + "".join(
            f"uri = pkcs11:token={token.label};object=work\n" for token in self.tokens))
        self.assertEqual([k.hash for k in self.listed("vpn")], [keys[0].hash])
        self.assertEqual(len(self.listed("")), 2)
        self.remove(self.tokens[0])
        self.assertEqual([(k.hash, k.state) for k in self.listed("vpn")],
                         [(keys[1].hash, KeyState.READY)])
        self.remove(self.tokens[1])
        self.assertEqual([(k.hash, k.state) for k in self.listed("vpn")],
                         [(keys[0].hash, KeyState.ABSENT)])
        self.tokens[1].rules()
        self.the_agent.wait_keys(1)
        self.assertEqual([k.hash for k in self.listed("vpn")], [keys[1].hash])


class TestWatch(HoldTest):
    """`mtls list --watch`: what a person sees, who is thereby at hand."""

    def watch(self, agent, *args):
        watch = self.start_process(
            harness.MTLS_BIN, "list", "--watch", *args, stdout=subprocess.PIPE, bufsize=0,
            stderr=subprocess.PIPE, env={"MTLS_AGENT_SOCK": str(agent.socket), "TZ": "UTC"})
        self.watching = watch
        return watch

    def line(self, deadline=5.0):
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.watching.stdout], [], [], deadline)[0]:
                raise AssertionError(f"nothing more is said after {line}")
            line += self.watching.stdout.read(1)
        return line.decode().rstrip()

    def json_line(self):
        return json.loads(self.line())

    def test_table_then_changes_then_what_is_waited_for(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        self.watch(agent)
        self.assertTrue(self.line().startswith("KEY"))
        self.assertRegex(self.line(), "^work .* ready$")
        self.take_out(agent, token)
        self.assertRegex(self.line(), r"^\d\d:\d\d:\d\d  work: absent \(token demo\)$")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        self.assertIn("waits to use key work", self.line())
        token.rules()
        lines = {self.line()[10:] for _ in range(2)}
        self.assertEqual(lines, {"work: done", "work: ready (token demo)"})
        self.assert_signed(client, request, token.keys["work"])

    def test_json_and_an_agent_that_is_restarted(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        self.watch(agent, "--json", "work")
        first = self.json_line()
        self.assertEqual((first["event"], first["name"], first["state"], first["token"]),
                         ("new", "work", "ready", "demo"))
        agent.stop()
        self.assertEqual(self.json_line()["event"], "agent")
        agent.start()
        back = self.json_line()
        self.assertEqual((back["event"], back["text"]), ("agent", "the agent is back"))
        agent.wait_keys()
        token.rules("removed demo")
        agent.kill_workers()
        seen = self.json_line()
        self.assertEqual((seen["event"], seen["name"], seen["state"]),
                         ("changed", "work", "absent"))

    def test_output_that_nobody_reads_ends_it(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        watch = self.watch(agent)
        self.line()
        watch.stdout.close()
        for _ in range(3):
            agent.kill_workers()
            agent.wait_keys()
            self.take_out(agent, token)
            token.rules()
            agent.wait_keys()
        watch.wait(5)

    def test_no_agent_is_an_error_at_once(self):
        watch = self.start_process(harness.MTLS_BIN, "list", "--watch", stderr=subprocess.PIPE,
                                   env={"MTLS_AGENT_SOCK": "/nonexistent/agent.sock"})
        self.assertEqual(watch.wait(5), 3)


if __name__ == "__main__":
    harness.main()
