# SPDX-License-Identifier: Apache-2.0
"""Cards, readers and pcscd that go and come back, while the agent runs on.

`TroubleRows` is mixed into a test class for each module: test_card_trouble_opensc.py and
test_card_trouble_yubikey.py. In every row the next request works within two seconds after the cause
has gone, nothing is restarted by hand, no try is lost, and a second module (SoftHSM) signs all the
time as if nothing were.
"""

import contextlib
import threading
import time

import tls_messages
import wire
from card_rows import SIGN_SCHEMES, AgentOnCard
from harness import Code, KeyState, Kind, poll_until
from softhsm import TokenDir

GONE = (Code.TOKEN_GONE, Code.INTERNAL)
RECOVERY = 2.0  # seconds
PATIENCE = 2.0  # that a signature of the undisturbed module may take on a busy machine


class Neighbour(threading.Thread):
    """A client that signs with another module's key, over and over, until it is stopped."""

    def __init__(self, agent, key):
        super().__init__(daemon=True)
        self.agent, self.key = agent, key
        self.stopped = threading.Event()
        self.count, self.slowest, self.failure = 0, 0.0, None

    def run(self):
        content = tls_messages.certificate_verify()
        try:
            with self.agent.connect() as client:
                while not self.stopped.wait(0.02):
                    start = time.monotonic()
                    client.sign(self.key.hash, wire.ECDSA_SHA256, Kind.TLS13, content)
                    self.slowest = max(self.slowest, time.monotonic() - start)
                    self.count += 1
        except (wire.Refused, wire.Closed, OSError) as failure:
            self.failure = failure


class TroubleRows(AgentOnCard):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour_token = TokenDir(label="neighbour")
        cls.addClassCleanup(cls.neighbour_token.remove)
        cls.neighbour_token.key("neighbour")
        cls.other_card = cls.class_card(cls.the_pcscd, name="other", yubikey=cls.YUBIKEY)
        cls.spare_card = cls.class_card(cls.the_pcscd, name="spare", yubikey=cls.YUBIKEY,
                                        copy_of=cls.the_card)

    def setUp(self):
        super().setUp()
        for card in (self.other_card, self.spare_card):
            card.make_new()

    @contextlib.contextmanager
    def trouble(self, ready=2):
        """An agent with both modules; what must hold when the trouble is over is checked.

        @ready: how many keys there are at first.
        """
        agent = self.agent(
            "[agent]\naudit = off\n" +
            self.the_card.config(uri=self.the_card.uri, workers=1, timeout="5s") +
            self.other_card.token_config("other") + self.spare_card.token_config("spare") +
            self.neighbour_token.config("neighbour"),
            env=self.the_pcscd.environment)
        agent.wait_keys(ready)
        neighbour = Neighbour(agent, self.neighbour_token.keys["neighbour"])
        neighbour.start()
        try:
            yield agent
        finally:
            neighbour.stopped.set()
            neighbour.join()
        if neighbour.failure:
            raise AssertionError(f"the other module was disturbed\n{agent.log()}") \
                from neighbour.failure
        self.assertGreater(neighbour.count, 0)
        self.assertLess(neighbour.slowest, PATIENCE)
        module = next(m for m in agent.status().modules if m.name == "neighbour")
        self.assertEqual(module.restarts, 0)
        self.assertEqual(self.the_card.status()["tries"], 3)
        agent.stop()

    def assert_refused_soon(self, agent, code=Code.TOKEN_GONE, text="put it in"):
        """A request fails at once, and the sentence says what to do."""
        with agent.connect() as client:
            start = time.monotonic()
            refusal = self.assert_refused(code, self.sign, client)
            self.assertIn(text, refusal.text)
            self.assertLess(time.monotonic() - start, RECOVERY)

    def wait_state(self, agent, state):
        """Until the card's key is listed so."""
        def is_so():
            with agent.connect() as client:
                states = [key.state for key in client.keys() if key.hash == self.key().hash]
            return states == [state]
        poll_until(is_so, RECOVERY, lambda: f"the key is {state.name}\n{agent.log()}")

    def wait_refused(self, agent, text):
        """Until requests are refused with this in the sentence: the cause has been understood."""
        def refused():
            with agent.connect() as client:
                try:
                    return self.sign(client)
                except wire.Refused as refusal:
                    return text in refusal.text
        poll_until(refused, RECOVERY, lambda: f"refused with {text!r}\n{agent.log()}")

    def told(self, person, agent):
        """What somebody is waiting for, as a person gets to know it."""
        try:
            return person.event(RECOVERY).text
        except TimeoutError as failure:
            raise AssertionError(f"nobody was told\n{agent.status()}\n{agent.log()}") from failure

    def wait_readers_told(self, agent):
        """Until the agent knows that pcscd is away."""
        poll_until(lambda: agent.status().readers_text, RECOVERY, "pcscd is missed")

    def assert_soon(self, call):
        """It ends well within the promised time."""
        start = time.monotonic()
        call()
        self.assertLess(time.monotonic() - start, RECOVERY)

    def assert_lost(self, finish, codes=GONE):
        """A request that was on its way to the card gets an error, not silence."""
        start = time.monotonic()
        with self.assertRaises(wire.Refused) as caught:
            finish()
        self.assertIn(caught.exception.code, codes, caught.exception)
        self.assertLess(time.monotonic() - start, RECOVERY)

    # ---- the card

    def test_removed_and_reinserted(self):
        with self.trouble() as agent:
            self.assert_recovers(agent)
            self.the_card.remove()
            self.assert_lost(self.ask(self.connect(agent)))
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_reinserted_between_two_requests(self):
        with self.trouble() as agent:
            for _ in range(3):
                self.assert_recovers(agent)
                self.the_card.swap(self.the_card)
            self.assert_recovers(agent)

    def test_removed_for_long(self):
        """The key is shown as absent, and comes back without anybody asking for it."""
        with self.trouble() as agent:
            self.the_card.remove()
            self.wait_state(agent, KeyState.ABSENT)
            self.assert_refused_soon(agent)
            self.the_card.insert()
            self.wait_state(agent, KeyState.READY)
            self.assert_recovers(agent)

    def test_absent_at_the_start(self):
        self.the_card.remove()
        with self.trouble(ready=1) as agent:
            self.assert_refused_soon(agent, Code.NO_KEY, "mtls list")
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_yanked_and_asked_at_once(self):
        """The request meets the module before pcscd has told it."""
        with self.trouble() as agent, agent.connect() as client:
            self.sign(client)
            self.the_card.remove(wait=False)
            self.assert_lost(self.ask(client))
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_gone_with_the_next_command(self):
        """The first command of a request finds no card any more."""
        with self.trouble() as agent, agent.connect() as client:
            self.sign(client)
            self.the_card.cut("any")
            with contextlib.suppress(wire.Refused):  # the card is asked for nothing before
                self.sign(client)
            self.the_card.wait_removed()
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_cut_in_mid_sign(self):
        with self.trouble() as agent, agent.connect() as client:
            self.the_card.cut()
            self.assert_lost(self.ask(client))
            self.the_card.wait_removed()
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_pulled_in_mid_sign(self):
        with self.trouble() as agent, agent.connect() as client:
            self.the_card.delay(20)
            finish = self.ask(client)
            self.the_card.wait_signing()
            self.the_card.remove()
            self.assert_lost(finish)
            self.the_card.delay(0)
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_hung_and_then_removed(self):
        with self.trouble() as agent, agent.connect() as client:
            self.the_card.hang()
            finish = self.ask(client)
            self.the_card.wait_signing()
            self.the_card.remove()
            self.assert_lost(finish)
            self.the_card.unhang()
            self.the_card.insert()
            self.assert_recovers(agent)

    def test_hung_for_ever(self):
        """The module's time runs out; its process goes, and the card is free for the next."""
        with self.trouble() as agent, agent.connect() as client:
            self.the_card.hang()
            finish = self.ask(client)
            self.the_card.wait_signing()
            with self.assertRaises(wire.Refused) as caught:
                finish()
            self.assertEqual(caught.exception.code, Code.TIMEOUT)
            self.the_card.unhang()
            self.assert_recovers(agent)

    def test_swapped_for_another_card(self):
        with self.trouble() as agent:
            self.assert_recovers(agent)
            self.the_card.swap(self.other_card)
            key = self.other_card.keys["9a"]

            def sign():
                with agent.connect() as client:
                    try:
                        self.assert_signs(client, key, SIGN_SCHEMES["EC:prime256v1"][0])
                        return True
                    except wire.Refused:
                        return False
            poll_until(sign, RECOVERY, lambda: f"the other card signs\n{agent.log()}")
            self.assert_refused_soon(agent)
            self.other_card.swap(self.the_card)
            self.assert_recovers(agent)
            self.assertEqual(self.other_card.status()["tries"], 3)

    def test_spare_card_takes_its_place(self):
        with self.trouble() as agent:
            self.assert_recovers(agent)
            self.the_card.swap(self.spare_card)
            self.assert_recovers(agent)
            self.assertEqual(self.spare_card.status()["signatures"], 1)
            self.spare_card.swap(self.the_card)
            self.assert_recovers(agent)
            self.assertEqual(self.spare_card.status()["signatures"], 1)

    def test_moved_to_another_reader(self):
        second = f"{self.READER} Two"
        self.the_pcscd.restart([self.READER, second])
        with self.trouble() as agent:
            for reader in (second, self.READER):
                self.assert_recovers(agent)
                self.the_card.insert(reader)
            self.assert_recovers(agent)
            with agent.connect() as client:
                self.assertEqual(len(client.keys()), 2)  # with the neighbour's

    def test_request_that_waits_for_the_card(self):
        """There is a person who was told: it is signed when the card comes."""
        with self.trouble() as agent, agent.connect() as client, agent.connect() as person:
            person.subscribe(wire.WAITING)
            self.the_card.remove()
            self.wait_state(agent, KeyState.ABSENT)
            finish = self.ask(client)
            self.assertIn("put it in", self.told(person, agent))
            self.the_card.insert()
            self.assert_soon(finish)
            self.assertEqual(person.event().text, "done")

    # ---- pcscd and the reader

    def test_request_that_waits_for_pcscd(self):
        with self.trouble() as agent, agent.connect() as client, agent.connect() as person:
            person.subscribe(wire.WAITING)
            self.the_pcscd.kill()
            self.wait_readers_told(agent)
            finish = self.ask(client)
            self.assertIn("pcscd", self.told(person, agent))
            self.the_pcscd.start()
            self.assert_soon(finish)

    def test_pcscd_killed(self):
        with self.trouble() as agent:
            self.assert_recovers(agent)
            self.the_pcscd.kill()
            self.wait_refused(agent, "pcscd")
            self.the_pcscd.start()
            self.assert_recovers(agent)

    def test_pcscd_killed_in_mid_sign(self):
        with self.trouble() as agent, agent.connect() as client:
            self.the_card.delay(20)
            finish = self.ask(client)
            self.the_card.wait_signing()
            self.the_pcscd.kill()
            self.assert_lost(finish, GONE)
            self.the_card.delay(0)
            self.the_pcscd.start()
            self.assert_recovers(agent)

    def test_pcscd_restarted(self):
        with self.trouble() as agent:
            for _ in range(2):
                self.assert_recovers(agent)
                self.the_pcscd.restart()
            self.assert_recovers(agent)

    def test_pcscd_comes_after_the_agent(self):
        self.the_pcscd.stop()
        with self.trouble(ready=1) as agent:
            self.assert_refused_soon(agent, Code.NO_KEY, "mtls list")
            self.the_pcscd.start()
            self.assert_recovers(agent)

    def test_reader_unplugged(self):
        with self.trouble() as agent:
            self.assert_recovers(agent)
            self.the_pcscd.restart([])
            self.wait_refused(agent, "put it in")
            self.the_pcscd.restart([self.READER])
            self.assert_recovers(agent)
