# SPDX-License-Identifier: Apache-2.0
"""A card that others want, too: programs that hold it, two modules that see it, and letting go."""

import json
import subprocess
import time

import wire
from harness import MTLS_BIN, main, needs_no_sanitizer, poll_until
from pcsc import GENERIC, OPENSC, YUBIKEY
from reader_rows import PROMISE, ReadersTest, any_token
from wire import ModuleState, ReaderState, TokenState

VERSION = "5.4.3"


class ShareTest(ReadersTest):
    def hold(self, pcscd, reader=None):
        holder = pcscd.hold(reader)
        self.addCleanup(self.let_go, holder)
        return holder

    def let_go(self, holder):
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()

    def released(self, agent):
        agent.wait_for(lambda status: status.modules[0].state == ModuleState.RELEASED)
        self.wait_no_workers(agent)


class HolderRows:
    READER = GENERIC
    VERSION = ""

    def start(self):
        self.the_pcscd = self.pcscd([self.READER])
        self.the_card = self.card(self.the_pcscd, yubikey=self.VERSION)
        self.the_card.insert()
        self.key = self.the_card.keys["9a"]

    def test_holder_is_named(self):
        self.start()
        holder = self.hold(self.the_pcscd)
        agent = self.serve(self.the_card.config(), env=self.the_pcscd.environment)
        reader = self.wait_reader(agent, self.READER, ReaderState.EXCLUSIVE)
        self.assertIn(f"(pid {holder.pid})", reader.text)
        text = subprocess.run([MTLS_BIN, "status"], capture_output=True, text=True, check=True,
                              env={"MTLS_AGENT_SOCK": str(agent.socket)}).stdout
        self.assertIn("exclusive", text)
        self.assertIn(f"(pid {holder.pid})", text)
        status = json.loads(subprocess.run(
            [MTLS_BIN, "status", "--json"], capture_output=True, text=True, check=True,
            env={"MTLS_AGENT_SOCK": str(agent.socket)}).stdout)
        self.assertEqual(status["readers"][0]["state"], "exclusive")
        self.let_go(holder)
        self.assert_recovers(agent, self.key)

    def test_release_and_back(self):
        self.start()
        agent = self.serve(self.the_card.config(release="300ms"), env=self.the_pcscd.environment,
                           keys=1)
        before = self.listed(agent)
        self.released(agent)
        self.assertEqual(self.listed(agent), before)
        self.assertEqual([t.keys for t in agent.status().tokens], [1])
        self.sign(agent, self.key)
        self.released(agent)
        holder = self.hold(self.the_pcscd)
        client, request_id = self.ask(agent, self.key, 10000)
        self.wait_reader(agent, self.READER, ReaderState.EXCLUSIVE)
        self.let_go(holder)
        self.assert_recovers(agent, self.key)
        client.wait(request_id)

    def test_request_that_waits_for_the_holder(self):
        """It is signed soon after the end of that, of which pcscd tells nobody."""
        self.start()
        agent = self.serve(self.the_card.config(release="300ms"), env=self.the_pcscd.environment,
                           keys=1)
        watcher = self.connect(agent)
        watcher.subscribe(wire.WAITING)
        self.released(agent)
        holder = self.hold(self.the_pcscd)
        client, request_id = self.ask(agent, self.key, 20000)
        while f"(pid {holder.pid})" not in watcher.event().text:
            pass  # at first it may not be known that somebody holds it
        time.sleep(2.5)  # until the watch of the readers has seen nothing for a while
        start = time.monotonic()
        self.let_go(holder)
        self.assertIsInstance(client.wait(request_id), wire.SignReply)
        self.assertLess(time.monotonic() - start, PROMISE)

    def test_error_names_reader_and_holder(self):
        self.start()
        agent = self.serve(self.the_card.config(release="300ms"), env=self.the_pcscd.environment,
                           keys=1)
        self.released(agent)
        holder = self.hold(self.the_pcscd)

        def refusal():
            client, request_id = self.ask(agent, self.key, 1000)
            answer = client.wait(request_id)
            self.assertIsInstance(answer, wire.Error)
            return self.READER in answer.text and f"(pid {holder.pid})" in answer.text

        poll_until(refusal, what="an error that names the holder")


class TestHolderOpensc(HolderRows, ShareTest):
    pass


class TestHolderYubikey(HolderRows, ShareTest):
    READER = YUBIKEY
    VERSION = VERSION


class TestRelease(ShareTest):
    def test_login_that_a_person_made_is_gone(self):
        """And that is told before the next program needs it."""
        pcscd = self.pcscd([GENERIC])
        card = self.card(pcscd)
        card.insert()
        agent = self.serve(card.config(release="1s", pin="ask"), env=pcscd.environment)
        agent.wait_for(lambda s: [t.state for t in s.tokens] == [TokenState.LOCKED])
        with agent.connect() as client:
            client.unlock(card.identity.pin)
        self.released(agent)
        self.assertEqual([t.state for t in agent.status().tokens], [TokenState.LOCKED])
        with agent.connect() as client:
            client.unlock(card.identity.pin)
        self.sign(agent, card.keys["9a"])

    def test_card_that_comes_while_released_is_told(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        agent = self.serve(card.config(release="300ms"), env=pcscd.environment, keys=1)
        self.released(agent)
        events = self.subscribe(agent)
        card.remove()
        self.wait_event(events, "removed")
        self.released(agent)
        card.insert()
        self.wait_event(events, "inserted")
        self.assert_recovers(agent, card.keys["9a"])

    def test_holder_is_seen_without_a_request(self):
        """pcscd tells nobody when a program begins to use a card."""
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        agent = self.serve(card.config(release="300ms"), env=pcscd.environment, keys=1)
        self.released(agent)
        self.hold(pcscd)
        self.wait_reader(agent, GENERIC, ReaderState.EXCLUSIVE, 15)

    def test_use_keeps_it(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        agent = self.serve(card.config(release="1s"), env=pcscd.environment, keys=1)
        worker = agent.workers()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self.sign(agent, card.keys["9a"])
        self.assertEqual(agent.workers(), worker)

    def test_never_is_the_default(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        agent = self.serve(card.config(), env=pcscd.environment, keys=1)
        self.assertEqual(agent.status().modules[0].state, ModuleState.READY)


class TestTwoModules(ShareTest):
    """ykcs11 stands first, OpenSC second; both see the one card."""

    def start(self):
        self.the_pcscd = self.pcscd([YUBIKEY])
        self.the_card = self.card(self.the_pcscd, yubikey=VERSION)
        self.the_card.insert()
        second = self.the_card.config("second", path=OPENSC)
        agent = self.serve(any_token(self.the_card.config("first")),
                           second[:second.index("[token")], env=self.the_pcscd.environment, keys=1)
        agent.wait_for(lambda s: all(m.state == ModuleState.READY for m in s.modules))
        self.wait_reader(agent, YUBIKEY, ReaderState.IN_USE)
        agent.wait_for(lambda s: any(t.text for t in s.tokens), what="the other way is told")
        return agent

    def test_card_counts_once(self):
        agent = self.start()
        status = agent.status()
        self.assertEqual([(t.module, t.text) for t in status.tokens],
                         [("first", "also through module second")])
        with agent.connect() as client:
            self.assertEqual([k.module for k in client.keys()], ["first"])
        self.sign(agent, self.the_card.keys["9a"])

    @needs_no_sanitizer
    def test_only_the_first_logs_in(self):
        """Unless it takes so long to start that the second is not made to wait for it."""
        agent = self.start()
        self.sign(agent, self.the_card.keys["9a"])
        self.assertNotRegex(agent.log(), "(?m)^second: logged in")

    def test_removal_and_insertion(self):
        agent = self.start()
        label = agent.status().tokens[0].label
        events = self.subscribe(agent)
        self.the_card.remove()
        self.wait_event(events, "removed")
        self.assertEqual(agent.status().tokens, [])
        self.the_card.insert()
        told = [events.event()]
        while told[-1].text != "inserted" or told[-1].subject != label:
            told.append(events.event())
        self.assertNotIn("removed", [event.text for event in told])
        self.assert_recovers(agent, self.the_card.keys["9a"])
        poll_until(lambda: [t.module for t in agent.status().tokens] == ["first"] and
                   agent.status().tokens[0].text, what="once")

    def test_second_takes_over_and_gives_back(self):
        agent = self.start()

        def kill_first():
            for line in agent.log().splitlines():
                if line.startswith("first: ready"):
                    pid = int(line.rpartition("pid ")[2].rstrip(")"))
            if pid in agent.workers():
                subprocess.run(["kill", "-9", str(pid)], check=False)
            return any(m.name == "first" and m.state == ModuleState.BACKOFF
                       for m in agent.status().modules)

        poll_until(kill_first, 20, what="the first one is in its pause")
        agent.wait_for(lambda s: [t.module for t in s.tokens] == ["second"], what="taken over")
        self.assert_recovers(agent, self.the_card.keys["9a"], PROMISE)
        self.assertRegex(agent.log(), "(?m)^second: logged in")
        agent.wait_for(lambda s: [t.module for t in s.tokens] == ["first"], 20, what="given back")
        self.sign(agent, self.the_card.keys["9a"])


if __name__ == "__main__":
    main()
