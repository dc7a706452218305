# SPDX-License-Identifier: Apache-2.0
"""Frames and the greeting: what closes a connection, what is answered, what is refused."""

import os
import re
import struct

import harness
import wire
from harness import ServedTest
from wire import Code, Kind, Type, frame, string, u32, u8


class FrameTest(ServedTest):
    MODULE_OPTIONS = {"workers": 1}  # a second one that starts late would add to the log

    def assert_closed_without_reply(self, data, greet=True):
        client = self.client(greet=greet)
        client.send(data)
        self.assertEqual(client.wait_closed(), [], "a reply to bytes that are no frame")

    def assert_protocol_error(self, client, code=Code.PROTO):
        """ERROR with id 0, then the end; returns the text."""
        replies = client.wait_closed()
        self.assertEqual([(type(r), r.id, getattr(r, "code", None)) for r in replies],
                         [(wire.Error, 0, code)])
        return replies[0].text

    def assert_no_trace(self, misbehave):
        """Nothing is logged and the connection is freed."""
        log, connections = self.the_agent.log(), self.the_agent.status().connections
        misbehave()
        self.the_agent.wait_for(lambda s: s.connections == connections, what="connection freed")
        self.assertEqual(self.the_agent.log(), log)


class TestLength(FrameTest):
    def test_length_zero_closes(self):
        self.assert_closed_without_reply(u32(0))

    def test_length_zero_before_hello_closes(self):
        self.assert_closed_without_reply(u32(0), greet=False)

    def test_length_over_cap_closes_before_the_body(self):
        for length in (wire.FRAME_MAX + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            with self.subTest(length=length):
                self.assert_closed_without_reply(u32(length))

    def test_announced_length_takes_no_memory(self):
        before = self.the_agent.memory_kib()
        clients = [self.client() for _ in range(50)]
        for client in clients:
            client.send(u32(wire.FRAME_MAX) + u8(Type.SIGN))
        clients[0].send(b"\0")
        self.the_agent.status()
        self.assertLess(self.the_agent.memory_kib() - before, 50 * 256 // 4)

    def test_length_at_cap_is_accepted(self):
        client = self.client()
        room = wire.FRAME_MAX - (len(wire.sign(1, bytes(32), 0, 1, b"")) - 4)
        request = wire.sign(9, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13, bytes(room))
        self.assertEqual(struct.unpack(">I", request[:4])[0], wire.FRAME_MAX)
        client.send(request)
        self.assertEqual(client.wait(9).code, Code.POLICY)
        self.assert_signs(client, self.key())

    def test_truncated_frame_then_close_leaves_no_trace(self):
        request = wire.sign(1, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13, bytes(130))
        for cut in (1, 4, 5, len(request) - 1):
            with self.subTest(cut=cut):
                def misbehave(cut=cut):
                    with self.the_agent.connect() as client:
                        client.send(request[:cut])
                self.assert_no_trace(misbehave)

    def test_connect_and_close_leaves_no_trace(self):
        self.assert_no_trace(lambda: self.the_agent.connect(greet=False).close())


class TestGreeting(FrameTest):
    def test_hello_agrees_on_a_common_version(self):
        for low, high in ((1, 1), (0, 1), (1, 9), (0, 0xFFFFFFFF)):
            with self.subTest(low=low, high=high):
                client = self.client(greet=False)
                self.assertEqual(client.greet(version_min=low, version_max=high).version, 1)

    def test_future_version_is_told_the_supported_range(self):
        client = self.client(greet=False)
        client.send(wire.hello(2, 7))
        self.assertRegex(self.assert_protocol_error(client, Code.VERSION), r"\b1\b")

    def test_past_version_is_told_the_supported_range(self):
        client = self.client(greet=False)
        client.send(wire.hello(0, 0))
        self.assertRegex(self.assert_protocol_error(client, Code.VERSION), r"\b1\b")

    def test_reversed_range_is_refused(self):
        client = self.client(greet=False)
        client.send(wire.hello(2, 1))
        self.assert_protocol_error(client)

    def test_request_before_hello_is_refused(self):
        requests = (wire.status(1), wire.list_keys(1), wire.subscribe(1), wire.lock(1),
                    wire.sign(1, self.key().hash, wire.ECDSA_SHA256, Kind.TLS13, bytes(130)),
                    frame(99))
        for request in requests:
            with self.subTest(type=request[4]):
                client = self.client(greet=False)
                client.send(request)
                self.assert_protocol_error(client)

    def test_second_hello_is_refused(self):
        client = self.client()
        client.send(wire.hello())
        self.assert_protocol_error(client)

    def test_request_behind_a_refused_one_is_not_answered(self):
        client = self.client()
        client.send(wire.hello() + wire.status(5))
        self.assert_protocol_error(client)

    def test_requests_may_follow_hello_in_one_write(self):
        client = self.client(greet=False)
        client.send(wire.hello() + wire.status(1) + wire.status(2))
        self.assertIsInstance(client.receive(), wire.HelloReply)
        self.assertEqual([client.receive().id, client.receive().id], [1, 2])


class TestBody(FrameTest):
    def test_unknown_type_is_refused(self):
        known_requests = range(Type.HELLO, Type.LOCK + 1)
        for kind in (0, 9, 64, 127, 128, 129, 131, 192, 254, 255):
            assert kind not in known_requests
            with self.subTest(type=kind):
                client = self.client()
                client.send(frame(kind, u32(1)))
                self.assert_protocol_error(client)

    def bodies(self):
        """A good body of every request but HELLO."""
        return {
            Type.LIST: wire.list_keys(1, "work")[5:],
            Type.SIGN: wire.sign(1, self.key().hash, wire.ECDSA_SHA256, 1, bytes(130))[5:],
            Type.STATUS: wire.status(1)[5:],
            Type.SUBSCRIBE: wire.subscribe(1)[5:],
            Type.LOCK: wire.lock(1, "nothing")[5:],
        }

    def test_shortened_body_is_refused(self):
        for kind, body in self.bodies().items():
            for cut in {0, 1, 3, len(body) - 1}:
                with self.subTest(type=kind.name, cut=cut):
                    client = self.client()
                    client.send(frame(kind, body[:cut]))
                    self.assert_protocol_error(client)

    def test_bytes_after_the_last_field_are_refused(self):
        for kind, body in self.bodies().items():
            with self.subTest(type=kind.name):
                client = self.client()
                client.send(frame(kind, body + b"\0"))
                self.assert_protocol_error(client)

    def test_request_id_zero_is_refused(self):
        for kind, body in self.bodies().items():
            with self.subTest(type=kind.name):
                client = self.client()
                client.send(frame(kind, u32(0) + body[4:]))
                self.assert_protocol_error(client)

    def test_string_past_the_end_is_refused(self):
        for length in (2, 0x7FFFFFFF, 0xFFFFFFFC, 0xFFFFFFFF):
            with self.subTest(length=length):
                client = self.client()
                client.send(frame(Type.LIST, u32(1) + u32(0) + u32(length) + b"x"))
                self.assert_protocol_error(client)

    def test_key_hash_of_wrong_length_is_refused(self):
        for size in (0, 31, 33):
            with self.subTest(size=size):
                client = self.client()
                client.send(wire.sign(1, bytes(size), wire.ECDSA_SHA256, 1, bytes(130)))
                self.assert_protocol_error(client)

    def test_subscription_without_or_with_unknown_events_is_refused(self):
        for mask in (0, 16, 0x80000000, 0xFFFFFFFF):
            with self.subTest(mask=mask):
                client = self.client()
                client.send(wire.subscribe(1, mask))
                self.assert_protocol_error(client)

    def test_overlong_selector_is_refused(self):
        client = self.client()
        client.send(wire.list_keys(1, "x" * 1025))
        self.assert_protocol_error(client)

    def test_a_quarter_megabyte_of_lengths_is_refused(self):
        """The form that would nest, had the protocol any nesting."""
        client = self.client()
        client.send(frame(Type.LIST, u32(1) * ((wire.FRAME_MAX - 1) // 4)))
        self.assert_protocol_error(client)

    def test_random_bodies_never_end_the_agent(self):
        for kind in range(1, 8):
            for size in (4, 8, 60, 400):
                client = self.client()
                client.send(frame(kind, u32(7) + os.urandom(size)))
                client.send(b"")
                client.close()
        self.assert_serves(self.the_agent)


class TestText(FrameTest):
    AGENT_OPTIONS = {"args": ["--log-level", "debug"]}
    BAD_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80", b"\xe2\x82")

    def test_text_that_is_not_utf8_is_refused(self):
        for text in self.BAD_UTF8:
            with self.subTest(text=text):
                client = self.client()
                client.send(wire.list_keys(1, text))
                self.assert_protocol_error(client)
                client = self.client(greet=False)
                client.send(wire.hello(name=text))
                self.assert_protocol_error(client)

    def test_text_with_nul_is_refused(self):
        client = self.client()
        client.send(wire.list_keys(1, b"work\0"))
        self.assert_protocol_error(client)

    def test_control_characters_are_escaped_wherever_they_are_shown(self):
        nasty = "a\nb\rc\x1b[31md\x07e\u202ef\x7fg\u2028h\u0085i"
        client = self.client(greet=False)
        client.greet(name=nasty)
        self.assert_signs(client, self.key())
        refused = self.assert_refused(Code.NO_KEY, client.keys, nasty)
        with self.assertRaises(wire.Refused) as caught:
            client.lock(nasty)
        for text in (refused.text, caught.exception.text, self.the_agent.log()):
            self.assertNotRegex(text.replace("\n", "") if text == self.the_agent.log() else text,
                                "[\x00-\x1f\x7f\x80-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
        for line in self.the_agent.log().splitlines():
            self.assertFalse(re.match(r"b\b|c\b", line), f"a log line was broken in two: {line}")

    def test_name_of_the_most_bytes_is_accepted(self):
        client = self.client(greet=False)
        self.assertEqual(client.greet(name="x" * 256).version, 1)

    def test_overlong_name_is_refused(self):
        client = self.client(greet=False)
        client.send(wire.frame(Type.HELLO, u32(1) + u32(1) + string("x" * 257)))
        self.assert_protocol_error(client)


if __name__ == "__main__":
    harness.main()
