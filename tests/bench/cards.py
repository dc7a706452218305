# SPDX-License-Identifier: Apache-2.0
"""Smart cards for the bench: how soon after a card is put in the first signature is there.

The agent has a request that waits for the card; its peer is a program that knows when the card
comes, and then loads the module, logs in and signs: the least that anybody can do.
"""

import contextlib
import time

import harness
import pcsc
import tls_messages
import wire

DIGEST_LEN = 32


class CardBench:
    """One card with a P-256 key in a pcscd of its own, and an agent on it."""

    def __init__(self, stack, reader, yubikey=""):
        self.reader = reader
        self.pcscd = pcsc.Pcscd([reader])
        stack.callback(self.pcscd.end)
        self.pcscd.start()
        self.card = pcsc.Card(self.pcscd, name="bench", yubikey=yubikey)
        stack.callback(self.card.end)
        self.key = self.card.key("9a")
        self.card.start()
        self.pcscd.insert(self.card, reader)
        self.agent = harness.Agent("[agent]\naudit = off\n" + self.card.config(),
                                   env=self.pcscd.environment)
        stack.callback(self.agent.end)
        self.agent.start()
        self.agent.wait_keys()
        self.watcher = self.agent.connect(deadline=60)
        stack.callback(self.watcher.close)
        self.watcher.subscribe(wire.EVENT_WAITING)
        self.client = self.agent.connect(deadline=60)
        stack.callback(self.client.close)
        self.digest = self.card.dir / "digest"
        self.digest.write_bytes(bytes(DIGEST_LEN))

    def take_out(self):
        self.card.remove()
        harness.poll_until(lambda: not self.agent.status().tokens, what="the card is gone")

    def insert(self):
        """Seconds since some moment: when the card began to be in."""
        now = time.monotonic()
        self.pcscd.inserted[self.reader] = self.card
        self.card.insert_at(self.pcscd.socket(self.reader))
        return now

    def agent_ms(self):
        self.take_out()
        request = self.client.next_id()
        self.client.send(wire.sign(request, self.key.hash, wire.ECDSA_SHA256, wire.Kind.TLS13,
                                   tls_messages.certificate_verify()))
        self.watcher.event()
        start = self.insert()
        reply = self.client.wait(request)
        if isinstance(reply, wire.Error):
            raise RuntimeError(reply.text)
        return (time.monotonic() - start) * 1000

    def direct_ms(self):
        self.take_out()
        start = self.insert()
        self.pcscd.wait_present(self.reader)
        self.pcscd.run("pkcs11-tool", "--module", self.card.module, "--login", "--pin",
                       self.card.identity.pin, "--sign", "--mechanism", "ECDSA", "--id", "01",
                       "--input-file", self.digest, "--output-file", "/dev/null")
        return (time.monotonic() - start) * 1000


@contextlib.contextmanager
def card_bench(reader, yubikey=""):
    with contextlib.ExitStack() as stack:
        yield CardBench(stack, reader, yubikey)


def missing():
    """Why there can be no cards here, or None."""
    return pcsc.missing()

