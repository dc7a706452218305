# SPDX-License-Identifier: Apache-2.0
"""Descriptors that travel with a frame: one pipe with UNLOCK, and never anything else."""

import os
import signal
import socket
import subprocess
import sys

import harness
import wire
from harness import Code, IntegrationTest, ServedTest, poll_until


class DescriptorTest(ServedTest):
    MODULE_OPTIONS = {"workers": 1}  # a second one that starts late would change the count

    def descriptors(self, count):
        read_end, write_end = os.pipe()
        os.close(write_end)
        fds = [read_end] + [os.dup(read_end) for _ in range(count - 1)]
        for fd in fds:
            self.addCleanup(os.close, fd)
        return fds

    def assert_descriptors_dropped(self, before):
        poll_until(lambda: self.the_agent.fd_count() <= before, what="descriptors closed")

    def assert_refused_and_closed(self, client):
        replies = [r for r in client.wait_closed() if not isinstance(r, wire.HelloReply)]
        self.assertEqual([(type(r), r.id, getattr(r, "code", None)) for r in replies],
                         [(wire.Error, 0, Code.PROTO)])


class TestUnwantedDescriptors(DescriptorTest):
    def test_253_descriptors_are_closed_at_once(self):
        before = self.the_agent.fd_count()
        client = self.client()
        client.send(wire.unlock(1, "demo"), fds=self.descriptors(253))
        self.assert_refused_and_closed(client)
        self.assert_descriptors_dropped(before)

    def test_two_descriptors_are_refused(self):
        before = self.the_agent.fd_count()
        client = self.client()
        client.send(wire.unlock(1, "demo"), fds=self.descriptors(2))
        self.assert_refused_and_closed(client)
        self.assert_descriptors_dropped(before)

    def test_descriptor_with_any_other_request_is_refused(self):
        before = self.the_agent.fd_count()
        for request in (wire.status(1), wire.list_keys(1), wire.subscribe(1), wire.lock(1, "x"),
                        wire.sign(1, bytes(32), 0, 1, b"")):
            with self.subTest(type=request[4]):
                client = self.client()
                client.send(request, fds=self.descriptors(1))
                self.assert_refused_and_closed(client)
        self.assert_descriptors_dropped(before)

    def test_descriptor_with_hello_is_refused(self):
        before = self.the_agent.fd_count()
        client = self.client(greet=False)
        client.send(wire.hello(), fds=self.descriptors(1))
        self.assert_refused_and_closed(client)
        self.assert_descriptors_dropped(before)

    def test_descriptors_with_parts_of_a_frame_are_refused(self):
        """One with each byte: the agent must not gather them."""
        before = self.the_agent.fd_count()
        client = self.client()
        request = wire.unlock(1, "demo")
        try:
            for i in range(len(request)):
                client.send(request[i:i + 1], fds=self.descriptors(1))
        except OSError:
            pass  # the agent had closed already
        self.assert_refused_and_closed(client)
        self.assert_descriptors_dropped(before)

    def test_descriptors_before_the_frame_is_whole_are_freed_with_the_client(self):
        before = self.the_agent.fd_count()
        client = self.client()
        client.send(wire.unlock(1, "demo")[:6], fds=self.descriptors(1))
        client.close()
        self.assert_descriptors_dropped(before)

    def test_many_clients_with_many_descriptors_leave_none_behind(self):
        before = self.the_agent.fd_count()
        fds = self.descriptors(200)
        for _ in range(40):
            client = self.client()
            client.send(wire.status(1), fds=fds)
            self.assert_refused_and_closed(client)
        self.assert_descriptors_dropped(before)


class TestUnlockDescriptor(IntegrationTest):
    """A token that waits for its PIN: what UNLOCK takes for a PIN pipe."""

    def setUp(self):
        self.the_token = self.token(pin="secret-7c41f0")
        self.the_key = self.the_token.key("work")
        self.the_agent = self.agent("[agent]\npinentry = /bin/false\n" +
                                    self.the_token.config(pin="ask"))
        self.the_agent.wait_for(lambda s: s.tokens, what="token seen")
        self.client = self.connect(self.the_agent)

    def assert_still_works(self):
        self.client.unlock(self.the_token.pin, "demo")
        self.assert_signs(self.client, self.the_key)

    def test_without_a_descriptor_the_agent_asks(self):
        """Here nobody: a program that can be seen to have neither display nor terminal."""
        code = (f"import sys; sys.path.insert(0, {os.path.dirname(wire.__file__)!r}); import wire\n"
                f"client = wire.Wire({os.fspath(self.the_agent.socket)!r})\n"
                "try: client.call(wire.unlock, 'demo')\n"
                "except wire.Refused as refused: print(refused.code.name, refused.text)")
        done = subprocess.run([sys.executable, "-c", code], env={}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True, start_new_session=True)
        self.assertIn("LOCKED", done.stdout)
        self.assertIn("mtls unlock", done.stdout)
        self.assert_still_works()

    def test_what_is_no_pipe_is_refused_with_its_id(self):
        pair = socket.socketpair()
        self.addCleanup(pair[0].close)
        self.addCleanup(pair[1].close)
        regular = os.open(self.the_token.pin_file, os.O_RDONLY)
        null = os.open("/dev/null", os.O_RDONLY)
        directory = os.open("/", os.O_RDONLY)
        path = os.open("/", os.O_PATH)
        for fd in (regular, null, directory, path):
            self.addCleanup(os.close, fd)
        for fd in (pair[0].fileno(), regular, null, directory, path):
            with self.subTest(fd=os.readlink(f"/proc/self/fd/{fd}")):
                refused = self.assert_refused(Code.PROTO, self.client.call, wire.unlock, "demo",
                                              fds=[fd])
                self.assertEqual(refused.request_id, self.client.last_id)
        self.assert_still_works()

    def test_the_writing_end_is_refused(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        with self.assertRaises(wire.Refused) as caught:
            self.client.call(wire.unlock, "demo", fds=[write_end])
        self.assertIn(caught.exception.code, (Code.PROTO, Code.PIN))
        self.assert_still_works()

    def pipe_with_pin(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        os.write(write_end, self.the_token.pin.encode())
        os.close(write_end)
        return read_end

    def test_requests_may_stand_before_it_unanswered(self):
        """The kernel may hand over several frames with the descriptor of the last one."""
        os.kill(self.the_agent.pid, signal.SIGSTOP)
        try:
            self.client.send(wire.list_keys(71))
            self.client.send(wire.status(72))
            self.client.send(wire.unlock(73, "demo"), fds=[self.pipe_with_pin()])
        finally:
            os.kill(self.the_agent.pid, signal.SIGCONT)
        self.assertEqual([type(self.client.wait(i)) for i in (71, 72, 73)],
                         [wire.ListReply, wire.Status, wire.Done])

    def test_its_descriptor_goes_with_it_when_its_id_is_under_way(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        before = self.the_agent.fd_count()
        self.client.send(wire.unlock(77, "demo"), fds=[read_end])
        self.client.send(wire.unlock(77, "demo"), fds=[read_end])
        self.assertEqual(self.client.wait(77).code, Code.PROTO)
        os.write(write_end, self.the_token.pin.encode())
        os.close(write_end)
        self.assertIsInstance(self.client.wait(77), wire.Done)
        poll_until(lambda: self.the_agent.fd_count() <= before, what="descriptors closed")

    def test_a_pipe_that_is_never_written_delays_no_one_else(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        self.client.send(wire.unlock(77, "demo"), fds=[read_end])
        other = self.connect(self.the_agent, deadline=5)
        self.assertEqual(other.status().pid, self.the_agent.pid)
        self.assertEqual(len(other.keys()), 1)

    def test_the_pin_reaches_neither_log_nor_core(self):
        self.client.unlock(self.the_token.pin, "demo")
        self.assert_signs(self.client, self.the_key)
        self.assertNotIn(self.the_token.pin, self.the_agent.log())


if __name__ == "__main__":
    harness.main()
