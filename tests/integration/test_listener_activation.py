# SPDX-License-Identifier: Apache-2.0
"""Socket activation as systemd does it: LISTEN_FDS, LISTEN_PID, and what may be passed."""

import os
import socket
import stat
import sys

import harness
import wire
from harness import IntegrationTest, OTHER_UID, needs_root
from test_protocol_peers import as_uid, reply_type_as

# Moves the descriptors that argv[1] lists to 3, 4, ..., sets LISTEN_PID to this process ("own") or
# to the given word, and becomes the agent.
_ACTIVATE = """
import os, sys
fds, pid = [int(fd) for fd in sys.argv[1].split(",") if fd], sys.argv[2]
for i, fd in enumerate(fds):
    os.dup2(fd, 100 + i)
    os.close(fd)
for i in range(len(fds)):
    os.dup2(100 + i, 3 + i)
    os.close(100 + i)
if pid != "unset":
    os.environ["LISTEN_PID"] = str(os.getpid()) if pid == "own" else pid
os.execv(sys.argv[3], sys.argv[3:])
"""


class TestActivation(IntegrationTest):
    def listening(self, kind=socket.SOCK_STREAM, listen=True, name="activated.sock"):
        directory = self.agent(start=False).run_dir
        sock = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(sock.close)
        self.path = directory / name
        sock.bind(str(self.path))
        if listen and kind != socket.SOCK_DGRAM:
            sock.listen()
        return sock

    def activated(self, fds, count=None, pid="own", env=None):
        """An agent, not yet started, that gets @fds from descriptor 3 on."""
        numbers = [fd if isinstance(fd, int) else fd.fileno() for fd in fds]
        return self.agent(start=False, socket_path="", pass_fds=numbers, env={
            "LISTEN_FDS": str(len(fds) if count is None else count), **(env or {})},
            wrap=[sys.executable, "-c", _ACTIVATE, ",".join(map(str, numbers)), pid])

    def assert_refused(self, agent, reason):
        agent.launch()
        self.assertEqual(agent.wait_exit(), 1, agent.log())
        self.assertRegex(agent.log(), reason)

    def test_passed_socket_is_served(self):
        agent = self.activated([self.listening()]).start()
        agent.socket = self.path
        self.assert_serves(agent)

    @needs_root
    def test_other_user_is_refused_on_a_passed_socket_too(self):
        agent = self.activated([self.listening()]).start()
        agent.socket = self.path
        for directory in (self.path.parent, self.path.parent.parent):
            directory.chmod(0o755)
        self.path.chmod(0o666)
        self.assertIn(reply_type_as(agent, *as_uid(OTHER_UID)), (None, wire.Type.ERROR))
        self.assertEqual(reply_type_as(agent), wire.Type.HELLO_REPLY)

    def test_passed_socket_is_not_removed_at_the_end(self):
        sock = self.listening()
        agent = self.activated([sock]).start()
        agent.stop()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path).st_mode))

    def test_clients_that_wait_at_the_socket_are_served_after_the_start(self):
        sock = self.listening()
        agent = self.activated([sock])
        early = socket.socket(socket.AF_UNIX)
        self.addCleanup(early.close)
        early.connect(str(self.path))
        early.sendall(harness.wire.hello())
        agent.start()
        early.settimeout(10)
        self.assertTrue(early.recv(100))

    def test_name_of_the_descriptor_does_not_matter(self):
        agent = self.activated([self.listening()], env={"LISTEN_FDNAMES": "agent.socket"}).start()
        agent.socket = self.path
        self.assert_serves(agent)

    def test_variables_are_not_passed_on(self):
        token = self.token()
        token.key("work")
        agent = self.activated([self.listening()])
        agent.configure(token.config())
        agent.start()
        agent.socket = self.path
        agent.wait_keys()
        for pid in agent.workers():
            self.assertNotIn(b"LISTEN_", harness.look_inside(pid, "environ").read_bytes())

    def test_no_socket_is_refused(self):
        self.assert_refused(self.activated([], count=0), "0 sockets")

    def test_two_sockets_are_refused(self):
        first = self.listening()
        second = self.listening(name="second.sock")
        self.assert_refused(self.activated([first, second]), "2 sockets")

    def test_count_that_is_no_number_is_refused(self):
        for count in ("", "x", "-1", "1x", "99999999999"):
            with self.subTest(count=count):
                agent = self.activated([self.listening()], count=count)
                self.assert_refused(agent, "LISTEN_FDS|socket")

    def test_socket_of_another_type_is_refused(self):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with self.subTest(kind=kind):
                self.assert_refused(self.activated([self.listening(kind)]), "(?i)stream")

    def test_socket_that_does_not_listen_is_refused(self):
        self.assert_refused(self.activated([self.listening(listen=False)]), "(?i)listening")

    def test_connected_socket_is_refused(self):
        pair = socket.socketpair()
        for end in pair:
            self.addCleanup(end.close)
        self.assert_refused(self.activated([pair[0]]), "(?i)listening")

    def test_tcp_socket_is_refused(self):
        sock = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(sock.close)
        self.assert_refused(self.activated([sock]), "(?i)unix")

    def test_what_is_no_socket_is_refused(self):
        fd = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, fd)
        self.assert_refused(self.activated([fd]), "(?i)socket")

    def test_descriptor_that_is_not_there_is_refused(self):
        self.assert_refused(self.activated([], count=1), "(?i)socket")

    def test_sockets_for_another_process_are_refused(self):
        for pid in ("1", "0", "", "x", "unset"):
            with self.subTest(pid=pid):
                self.assert_refused(self.activated([self.listening()], pid=pid), "LISTEN_PID")


if __name__ == "__main__":
    harness.main()
