# SPDX-License-Identifier: Apache-2.0
"""Cards, readers and pcscd come and go: what the agent tells, and how soon it signs again."""

import os
import time

import wire
from faults import P11FAULT
from harness import Code, KeyState, main, poll_until
from pcsc import GENERIC, OPENSC, YUBIKEY
from reader_rows import PROMISE, SECOND, ReadersTest, any_token
from wire import ReaderState, TokenState

OTHER = "Other Reader"


class PlugRows:
    """For each module that sees cards."""

    READER = GENERIC
    SECOND = OTHER
    VERSION = ""

    def start(self, polled=False, pin=None):
        self.the_pcscd = self.pcscd([self.READER], polled=polled)
        self.the_card = self.card(self.the_pcscd, name="first", yubikey=self.VERSION)
        self.the_card.insert()
        agent = self.serve(any_token(self.the_card.config(pin=pin)),
                           env=self.the_pcscd.environment, keys=None if pin else 1)
        agent.wait_for(lambda status: status.tokens, what="the token")
        self.wait_reader(agent, self.READER, ReaderState.IN_USE)
        return agent

    def key(self, card=None):
        return (card or self.the_card).keys["9a"]

    def test_removal_and_insertion_are_told_within_a_second(self):
        agent = self.start()
        events = self.subscribe(agent)
        label = agent.status().tokens[0].label
        self.the_card.remove()
        self.assertEqual(self.wait_event(events, "removed").subject, label)
        self.assertEqual(agent.status().tokens, [])
        self.wait_reader(agent, self.READER, ReaderState.EMPTY)
        self.the_card.insert()
        self.assertEqual(self.wait_event(events, "inserted").subject, label)
        self.assert_recovers(agent, self.key())

    def test_one_removal_and_one_insertion_are_one_replacement_each(self):
        agent = self.start()
        events = self.subscribe(agent)
        for cycle in range(1, 4):
            self.the_card.remove()
            self.wait_event(events, "removed")
            agent.wait_for_log(r"ready with 0 tokens(?s:.*)" * cycle)
            self.the_card.insert()
            self.wait_event(events, "inserted")
            self.assert_recovers(agent, self.key())
        self.assertEqual(self.starts(agent), 1 + 2 * 3, agent.log())
        self.assertEqual(agent.status().modules[0].restarts, 0)

    def test_signature_right_after_insertion(self):
        agent = self.start()
        for _ in range(3):
            self.the_card.remove()
            poll_until(lambda: not agent.status().tokens, what="no token")
            self.the_card.insert()
            self.assert_recovers(agent, self.key())

    def test_swap(self):
        agent = self.start()
        events = self.subscribe(agent)
        other = self.card(self.the_pcscd, name="second", yubikey=self.VERSION)
        self.the_card.swap(other)
        self.wait_event(events, "removed")
        self.assert_recovers(agent, self.key(other))
        self.assertEqual(len(agent.status().tokens), 1)

    def test_reader_unplugged_and_plugged_in(self):
        agent = self.start()
        events = self.subscribe(agent)
        self.the_pcscd.restart([OTHER])
        self.wait_event(events, "removed", PROMISE)
        poll_until(lambda: self.reader(agent, OTHER), what="the other reader")
        self.assertIsNone(self.reader(agent, self.READER))
        self.the_pcscd.restart([OTHER, self.READER])
        self.assert_recovers(agent, self.key())

    def test_pcscd_killed(self):
        agent = self.start()
        events = self.subscribe(agent)
        self.the_pcscd.kill()
        self.wait_event(events, "removed")
        self.assertIn("pcscd", agent.wait_for(lambda status: status.readers_text).readers_text)
        self.the_pcscd.start()
        self.assert_recovers(agent, self.key())
        self.assertEqual(agent.status().readers_text, "")

    def test_pcscd_restarted_at_once(self):
        agent = self.start()
        for _ in range(3):
            self.the_pcscd.restart()
            self.assert_recovers(agent, self.key())

    def test_key_of_a_token_that_is_out_is_absent(self):
        agent = self.start()
        self.the_card.remove()
        poll_until(lambda: self.key().hash not in self.listed(agent) or
                   self.listed(agent)[self.key().hash].state == KeyState.ABSENT, what="absent")


    def unlock(self, agent, card, serial):
        with agent.connect() as client:
            client.unlock(card.identity.pin, serial)

    def test_typed_login_survives_that_another_card_goes_and_comes(self):
        pcscd = self.pcscd([self.READER, self.SECOND])
        kept = self.card(pcscd, name="kept", yubikey=self.VERSION)
        other = self.card(pcscd, name="other", yubikey=self.VERSION)
        kept.insert(self.READER)
        agent = self.serve(kept.config(pin="ask"), env=pcscd.environment)
        serial = agent.wait_for(lambda status: status.tokens).tokens[0].serial
        self.unlock(agent, kept, serial)
        self.sign(agent, kept.keys["9a"])
        worker = agent.workers()
        events = self.subscribe(agent)
        for _ in range(2):
            other.insert(self.SECOND)
            self.wait_event(events, "inserted")
            self.sign(agent, kept.keys["9a"])
            tokens = {t.serial: t.state for t in agent.status().tokens}
            self.assertEqual(tokens.pop(serial), TokenState.READY)
            self.assertEqual(list(tokens.values()), [TokenState.LOCKED])
            self.unlock(agent, other, list(tokens)[0])
            self.sign(agent, other.keys["9a"])
            other.remove()
            self.wait_event(events, "removed")
            self.sign(agent, kept.keys["9a"])
            self.assertEqual([t.serial for t in agent.status().tokens], [serial])
        self.assertEqual(agent.workers(), worker)

    def test_call_that_came_back_ends_nothing_later(self):
        """Only what was under way on the card that went is given a second, and no other call."""
        pcscd = self.pcscd([self.READER, self.SECOND])
        kept = self.card(pcscd, name="kept", yubikey=self.VERSION)
        other = self.card(pcscd, name="other", yubikey=self.VERSION)
        kept.insert(self.READER)
        other.insert(self.SECOND)
        agent = self.serve(kept.config(pin="ask"), env=pcscd.environment)
        agent.wait_for(lambda status: len(status.tokens) == 2)
        with agent.connect() as client:
            names = {key.hash: key.token_serial for key in client.keys()}
        self.unlock(agent, kept, names[kept.keys["9a"].hash])
        worker = agent.workers()
        events = self.subscribe(agent)
        client = self.connect(agent)
        reader, writer = os.pipe()
        request_id = client.next_id()
        client.send(wire.unlock(request_id, names[other.keys["9a"].hash]), [reader])
        os.close(reader)
        other.remove()
        self.wait_event(events, "removed")
        os.close(writer)  # no PIN comes
        self.assertIsInstance(client.wait(request_id), wire.Error)
        kept.delay(1.6)
        self.sign(agent, kept.keys["9a"])
        self.assertEqual(agent.workers(), worker)

    def test_kept_pin_ends_with_its_card(self):
        """Also where the worker stays, for the login to another card that a person typed."""
        pcscd = self.pcscd([self.READER, self.SECOND])
        stays = self.card(pcscd, name="stays", yubikey=self.VERSION)
        goes = self.card(pcscd, name="goes", yubikey=self.VERSION)
        stays.insert(self.READER)
        goes.insert(self.SECOND)
        agent = self.serve(stays.config(pin="ask", uri=stays.uri),
                           goes.token_config("goes", pin="ask\npin-cache = 1h"),
                           env=pcscd.environment)
        agent.wait_for(lambda status: len(status.tokens) == 2)
        with agent.connect() as client:
            names = {key.hash: key.token_serial for key in client.keys()}
        for card in (stays, goes):
            self.unlock(agent, card, names[card.keys["9a"].hash])
            self.sign(agent, card.keys["9a"])
        poll_until(lambda: len(agent.children("ask-pin")) == 1, what="one PIN is kept")
        worker = agent.workers()
        events = self.subscribe(agent)
        goes.remove()
        self.wait_event(events, "removed")
        poll_until(lambda: not agent.children("ask-pin"), what="the PIN is gone")
        goes.insert(self.SECOND)
        self.wait_event(events, "inserted")
        self.assertEqual({t.serial: t.state for t in agent.status().tokens},
                         {names[stays.keys["9a"].hash]: TokenState.READY,
                          names[goes.keys["9a"].hash]: TokenState.LOCKED})
        self.assertEqual(agent.workers(), worker)

    def test_typed_login_ends_with_its_card(self):
        agent = self.start(pin="ask")
        serial = agent.status().tokens[0].serial
        self.unlock(agent, self.the_card, serial)
        self.sign(agent, self.key())
        events = self.subscribe(agent)
        self.the_card.remove()
        self.wait_event(events, "removed")
        self.the_card.insert()
        self.wait_event(events, "inserted")
        self.assertEqual([t.state for t in agent.status().tokens], [TokenState.LOCKED])
        self.unlock(agent, self.the_card, serial)
        self.sign(agent, self.key())


class TestOpensc(PlugRows, ReadersTest):
    def test_call_that_does_not_come_back_is_ended_a_second_after_the_removal(self):
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        rules = card.dir / "rules"
        rules.write_text("")
        agent = self.serve(card.config(path=P11FAULT, environment=(
            f"P11FAULT_MODULE={OPENSC}", f"P11FAULT_CTL={rules}")), env=pcscd.environment, keys=1)
        self.wait_reader(agent, GENERIC, ReaderState.IN_USE)
        rules.write_text("C_Sign hang\n")
        client, request_id = self.ask(agent, card.keys["9a"], 20000)
        card.wait_seen()
        worker = agent.workers()[0]
        # The call has begun, and it is not the card that keeps it.
        poll_until(lambda: agent.status().queued == 1, what="under way")
        rules.write_text("")
        card.remove()
        start = time.monotonic()
        answer = client.wait(request_id)
        self.assertIsInstance(answer, wire.Error)
        self.assertEqual(answer.code, Code.TOKEN_GONE, answer.text)
        self.assertLess(time.monotonic() - start, SECOND + 1.0)
        poll_until(lambda: worker not in agent.workers(), what="the worker has ended")
        card.insert()
        self.assert_recovers(agent, card.keys["9a"])
        self.assertEqual(card.status()["signatures"], 1)

    def test_yank_before_pcscd_sees_it(self):
        """OpenSC 0.23 waits for its own lock then, for ever."""
        agent = self.start(polled=True)
        self.the_card.remove(wait=False)
        client, request_id = self.ask(agent, self.key(), 20000)
        start = time.monotonic()
        self.the_pcscd.wait_absent(GENERIC)
        answer = client.wait(request_id, 10)
        self.assertIsInstance(answer, wire.Error)
        self.assertLess(time.monotonic() - start, SECOND + 2.0)
        self.the_card.insert()
        self.assert_recovers(agent, self.key())

    def test_no_pcscd_yet(self):
        """Nothing is asked of it again and again; it is seen when it comes."""
        pcscd = self.pcscd()
        card = self.card(pcscd)
        card.insert()
        pcscd.stop()
        agent = self.serve(card.config(), env=pcscd.environment)
        self.assertIn("start", agent.status().readers_text)
        watch = agent.children("reader-watch")
        pcscd.start()
        self.assert_recovers(agent, card.keys["9a"])
        self.assertEqual(agent.children("reader-watch"), watch)

    def test_card_that_no_module_knows_is_looked_at_once(self):
        pcscd = self.pcscd([GENERIC, YUBIKEY])
        foreign = self.card(pcscd, name="foreign")
        known = self.card(pcscd, name="known", yubikey="5.4.3")
        known.insert(YUBIKEY)
        agent = self.serve(known.config(), env=pcscd.environment, keys=1)
        events = self.subscribe(agent)
        before = self.starts(agent)
        foreign.insert(GENERIC)  # where ykcs11 2.2 does not look
        agent.wait_for_log("(?s)" + "ready with.*" * (before + 1))
        known.remove()
        self.wait_event(events, "removed")
        known.insert(YUBIKEY)
        self.wait_event(events, "inserted")
        self.assert_recovers(agent, known.keys["9a"])
        self.assertEqual(self.starts(agent), before + 3, agent.log())


class TestYubikey(PlugRows, ReadersTest):
    READER = YUBIKEY
    SECOND = YUBIKEY + " two"
    VERSION = "5.4.3"


if __name__ == "__main__":
    main()
