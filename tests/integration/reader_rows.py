# SPDX-License-Identifier: Apache-2.0
"""An agent on cards that come and go: what its tests share."""

import re
import time

import tls_messages
import wire
from harness import Kind, poll_until
from pcsc import CardTest

SECOND = 1.0  # of the promise: what happens is told within it
PROMISE = 2.0  # and a signature works again within this


class ReadersTest(CardTest):
    """One agent for each test, with its events."""

    def serve(self, *configs, env=None, keys=None, **options):
        """@configs: texts of agent.conf. @keys: so many are awaited; None: as there are cards."""
        agent = self.agent("".join(configs), env=env, **options)
        if keys is not None:
            agent.wait_keys(keys)
        agent.wait_for(lambda status: status.readers or status.readers_text, what="readers")
        return agent

    def subscribe(self, agent):
        client = self.connect(agent)
        client.subscribe(wire.TOKEN_CHANGED)
        return client

    def wait_event(self, client, text, deadline=SECOND):
        """The next event of a token with this text; others are passed over."""
        end = time.monotonic() + deadline
        while True:
            event = client.event(max(0, end - time.monotonic()))
            if event.text == text:
                return event

    def sign(self, agent, key):
        with agent.connect() as client:
            self.assert_signs(client, key)

    def assert_recovers(self, agent, key, deadline=PROMISE):
        """A signature comes by itself, so many seconds after the cause has gone."""
        end = time.monotonic() + deadline
        while True:
            try:
                return self.sign(agent, key)
            except wire.Refused as refusal:
                if time.monotonic() > end:
                    raise AssertionError(f"no signature within {deadline} s: {refusal}\n"
                                         f"{agent.log()}") from refusal

    def ask(self, agent, key, deadline_ms=0):
        """Sends a request without waiting for its answer. Return: client and id."""
        client = self.connect(agent)
        request_id = client.next_id()
        client.send(wire.sign(request_id, key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                              tls_messages.certificate_verify(), deadline_ms))
        return client, request_id

    def listed(self, agent):
        with agent.connect() as client:
            return {key.hash: key for key in client.keys()}

    def starts(self, agent, module="card"):
        """How many workers have come up so far."""
        return len(re.findall(rf"(?m)^{module}: ready with", agent.log()))

    def wait_no_workers(self, agent):
        poll_until(lambda: not agent.workers(), what="the workers have ended")

    def reader(self, agent, name):
        return next((r for r in agent.status().readers if r.name.startswith(name)), None)

    def wait_reader(self, agent, name, state, deadline=wire.DEADLINE):
        return poll_until(lambda: (r := self.reader(agent, name)) and r.state == state and r,
                          deadline, lambda: f"{name} {state.name}: {agent.status().readers}")


def any_token(config):
    """The same, with a [token] section that is for every token."""
    return re.sub(r"(?m)^uri = .*$", "uri = pkcs11:", config)
