# SPDX-License-Identifier: Apache-2.0
"""Who may connect: what the kernel says of the peer decides, whatever the mode of the socket."""

import array
import json
import os
import socket
import subprocess
import sys

import harness
import wire
from harness import IntegrationTest, OTHER_UID, needs_root, needs_user_namespaces, poll_until

# Connects as somebody, says hello, and prints what came back in hexadecimal.
_CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.sendall(bytes.fromhex(sys.argv[2]))
    received = b""
    while len(received) < 5:
        data = s.recv(4096)
        if not data:
            break
        received += data
except ConnectionError:
    received = b""
print(received.hex())
"""


_CONNECT_AND_PASS_ON = """
import array, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))]
socket.socket(fileno=int(sys.argv[2])).sendmsg([b"x"], rights)
"""


def reply_type_as(agent, *command):
    """The type of the first frame that a client started by @command gets; None: just closed."""
    done = subprocess.run([*command, sys.executable, "-I", "-c", _CONNECT, str(agent.socket),
                           wire.hello().hex()], capture_output=True, timeout=30, check=False,
                          text=True)
    if done.returncode:
        raise AssertionError(done.stderr)
    received = bytes.fromhex(done.stdout.strip())
    return wire.Type(received[4]) if received else None


def connected_as(test, agent, *command):
    """A socket that a process started by @command connected; it is in our hands now."""
    ours, theirs = socket.socketpair()
    test.addCleanup(ours.close)
    with theirs:
        subprocess.run([*command, sys.executable, "-I", "-c", _CONNECT_AND_PASS_ON,
                        str(agent.socket), str(theirs.fileno())], pass_fds=[theirs.fileno()],
                       check=True, timeout=30)
    client = _received_socket(ours)
    test.addCleanup(client.close)
    return client


def as_uid(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


class PeerTest(IntegrationTest):
    def open_to_all(self, agent):
        """As if somebody had changed the modes by mistake, or handed the socket out."""
        agent.run_dir.chmod(0o755)
        agent.socket.chmod(0o666)

    def assert_turned_away(self, agent, *command):
        self.assertIn(reply_type_as(agent, *command), (None, wire.Type.ERROR))
        self.assertIsNone(agent.process.poll(), agent.log())


@needs_root
class TestOtherUsers(PeerTest):
    def test_other_user_is_refused(self):
        agent = self.agent()
        self.open_to_all(agent)
        self.assert_turned_away(agent, *as_uid(OTHER_UID))
        self.assertEqual(reply_type_as(agent), wire.Type.HELLO_REPLY)

    def test_refused_user_is_named_in_the_log_and_counted(self):
        agent = self.agent()
        self.open_to_all(agent)
        before = agent.status().refusals
        self.assert_turned_away(agent, *as_uid(OTHER_UID))
        agent.wait_for_log(str(OTHER_UID), 5)
        self.assertEqual(agent.status().refusals, before + 1)

    def test_refusals_do_not_flood_the_log(self):
        agent = self.agent()
        self.open_to_all(agent)
        before = len(agent.log().splitlines())
        code = ("import socket,sys\n"
                "for _ in range(2000):\n"
                "    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                "    s.settimeout(10); s.recv(1000)\n")
        subprocess.run([*as_uid(OTHER_UID), sys.executable, "-I", "-c", code, str(agent.socket)],
                       check=True, timeout=60)
        self.assertLess(len(agent.log().splitlines()) - before, 100)
        self.assert_serves(agent)

    def test_configured_user_is_served(self):
        agent = self.agent(f"[agent]\nusers = {OTHER_UID}\n")
        self.open_to_all(agent)
        self.assertEqual(reply_type_as(agent, *as_uid(OTHER_UID)), wire.Type.HELLO_REPLY)
        self.assert_turned_away(agent, *as_uid(OTHER_UID + 1))

    def test_user_that_a_reload_takes_away_is_refused(self):
        agent = self.agent(f"[agent]\nusers = {OTHER_UID}\n")
        self.open_to_all(agent)
        agent.reload("[agent]\n")
        self.assert_turned_away(agent, *as_uid(OTHER_UID))

    def test_connection_of_a_user_that_a_reload_takes_away_is_closed(self):
        agent = self.agent(f"[agent]\nusers = {OTHER_UID}\n")
        self.open_to_all(agent)
        client = wire.Wire.adopt(connected_as(self, agent, *as_uid(OTHER_UID)))
        client.greet()
        client.subscribe()
        agent.reload("[agent]\n")
        client.wait_closed()

    def test_root_is_no_exception(self):
        agent = self.agent(uid=OTHER_UID)
        self.assert_turned_away(agent)
        self.assertEqual(reply_type_as(agent, *as_uid(OTHER_UID)), wire.Type.HELLO_REPLY)

    def test_set_uid_of_the_connecting_process_counts_at_the_time_of_connect(self):
        """A socket connected by another user and then inherited by ours stays theirs."""
        agent = self.agent()
        self.open_to_all(agent)
        client = connected_as(self, agent, *as_uid(OTHER_UID))
        client.settimeout(10)
        try:
            client.sendall(wire.hello())
            data = client.recv(1000)
        except ConnectionError:
            data = b""
        self.assertNotEqual(data[4:5], bytes([wire.Type.HELLO_REPLY]))


@needs_root
class TestUnmappedUsers(PeerTest):
    """In a user namespace every uid without a mapping looks like 65534."""

    def test_overflow_uid_is_refused(self):
        agent = self.agent()
        self.open_to_all(agent)
        self.assert_turned_away(agent, *as_uid(65534))

    def test_overflow_uid_is_refused_even_by_an_agent_of_that_uid(self):
        """It stands for everybody who has no mapping, so it is nobody's own."""
        agent = self.agent(uid=65534)
        self.assert_turned_away(agent, *as_uid(65534))

    @needs_user_namespaces
    def test_unmapped_uid_is_refused(self):
        agent = self.agent(start=False, wrap=["unshare", "--user", "--map-root-user"])
        agent.start()
        self.open_to_all(agent)
        self.assert_turned_away(agent, *as_uid(OTHER_UID))
        self.assertEqual(reply_type_as(agent), wire.Type.HELLO_REPLY)


class TestPeerProcess(PeerTest):
    def setUp(self):
        self.the_token = self.token()
        self.key = self.the_token.key("work")

    def start(self, **kwargs):
        agent = self.agent(start=False, **kwargs)
        agent.configure(self.the_token.config() + f"[agent]\naudit = file:{agent.audit_file}\n")
        return agent.start()

    def last_audit(self, agent):
        return json.loads(poll_until(agent.audit, what="an audit line")[-1])

    def test_audit_names_the_process(self):
        agent = self.start()
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, self.key)
        line = self.last_audit(agent)
        self.assertEqual((line["uid"], line["pid"]), (os.getuid(), os.getpid()))
        self.assertEqual(line["exe"], os.readlink("/proc/self/exe"))

    def test_peer_that_ended_is_served_and_its_program_is_unknown(self):
        agent = self.start()
        agent.wait_keys()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        agent.process.send_signal(harness.signal.SIGSTOP)  # it accepts after the peer has ended
        try:
            child = subprocess.Popen([sys.executable, "-I", "-c", _CONNECT_AND_PASS_ON,
                                      str(agent.socket), str(theirs.fileno())],
                                     pass_fds=[theirs.fileno()])
            self.assertEqual(child.wait(30), 0)
        finally:
            agent.process.send_signal(harness.signal.SIGCONT)
        theirs.close()
        client = wire.Wire.adopt(_received_socket(ours))
        self.addCleanup(client.close)
        client.greet()
        self.assert_signs(client, self.key)
        line = self.last_audit(agent)
        self.assertEqual((line["exe"], line["pid"]), ("unknown", child.pid))

    @needs_root
    def test_peer_of_another_pid_namespace_is_served_and_unknown(self):
        agent = self.start(wrap=["unshare", "--pid", "--fork", "--kill-child=TERM"])
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, self.key)
        self.assertEqual(self.last_audit(agent)["exe"], "unknown")


def _received_socket(sock):
    """The descriptor that came over @sock, as a socket."""
    _, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(4))
    return socket.socket(fileno=array.array("i", ancillary[0][2])[0])


if __name__ == "__main__":
    harness.main()
