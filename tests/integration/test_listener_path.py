# SPDX-License-Identifier: Apache-2.0
"""Where the socket may be made: what stands there, whose directory it is, who listens."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import harness
import wire
from harness import Agent, IntegrationTest, OTHER_UID, needs_root, poll_until

PARALLEL_STARTS = 100
KILLS = 40


class ListenerTest(IntegrationTest):
    def assert_refuses_to_start(self, agent, reason):
        """Exit 1 and an error that names the reason."""
        agent.launch()
        self.assertEqual(agent.wait_exit(), 1, agent.log())
        self.assertRegex(agent.log(), reason)


class TestPath(ListenerTest):
    def setUp(self):
        self.the_agent = self.agent(start=False)
        self.path = self.the_agent.socket

    def test_socket_and_directory_are_for_their_owner_only(self):
        self.the_agent.run_dir.rmdir()
        self.the_agent.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.the_agent.run_dir).st_mode), 0o700)

    def test_modes_do_not_depend_on_the_umask(self):
        self.the_agent.run_dir.rmdir()
        self.the_agent.start(umask=0)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.the_agent.run_dir).st_mode), 0o700)

    def test_socket_is_removed_at_the_end(self):
        self.the_agent.start()
        self.the_agent.stop()
        self.assertFalse(self.path.exists())

    def test_stale_socket_is_replaced(self):
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(self.path))
        stale.close()
        self.the_agent.start()
        self.assert_serves(self.the_agent)

    def test_socket_of_a_killed_agent_is_replaced(self):
        self.the_agent.start()
        self.the_agent.process.kill()
        self.the_agent.wait_exit()
        self.assertTrue(self.path.exists())
        self.the_agent.start()
        self.assert_serves(self.the_agent)

    def test_killed_agent_is_replaced_at_once_each_time(self):
        """Also when it was about to start a worker, whose process lives on for a moment."""
        for _ in range(KILLS):
            self.the_agent.start()
            self.the_agent.process.kill()
            self.the_agent.wait_exit()
        self.the_agent.start()
        self.assert_serves(self.the_agent)

    def test_live_agent_is_left_alone(self):
        self.the_agent.start()
        second = self.agent(start=False, socket_path=self.path)
        self.assert_refuses_to_start(second, r"(?i)already|listens")
        self.assert_serves(self.the_agent)

    def test_live_agent_is_left_alone_when_its_lock_file_was_removed(self):
        self.the_agent.start()
        for entry in self.the_agent.run_dir.iterdir():
            if entry != self.path:
                entry.unlink()
        second = self.agent(start=False, socket_path=self.path)
        self.assert_refuses_to_start(second, r"(?i)already|listens")
        self.assert_serves(self.the_agent)

    def test_lock_decides_while_another_agent_makes_its_socket(self):
        """The moment between two starts at which there is no socket, or a stale one, to see."""
        with open(f"{self.path}.lock", "w", encoding="ascii") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            self.assert_refuses_to_start(self.the_agent, "already runs")
            self.assertFalse(self.path.exists())
        self.the_agent.start()
        self.assert_serves(self.the_agent)

    def test_foreign_listener_is_left_alone(self):
        foreign = socket.socket(socket.AF_UNIX)
        self.addCleanup(foreign.close)
        foreign.bind(str(self.path))
        foreign.listen()
        inode = os.stat(self.path).st_ino
        self.assert_refuses_to_start(self.the_agent, "listens")
        self.assertEqual(os.stat(self.path).st_ino, inode)

    def test_regular_file_is_refused_and_kept(self):
        self.path.write_text("mine")
        self.assert_refuses_to_start(self.the_agent, "not a socket")
        self.assertEqual(self.path.read_text(), "mine")

    def test_directory_is_refused(self):
        self.path.mkdir()
        self.assert_refuses_to_start(self.the_agent, "not a socket")

    def test_symbolic_link_is_refused_and_its_target_is_kept(self):
        for name in ("file", "missing"):
            with self.subTest(target=name):
                target = self.the_agent.dir / name
                if name == "file":
                    target.write_text("mine")
                self.path.unlink(missing_ok=True)
                self.path.symlink_to(target)
                self.assert_refuses_to_start(self.the_agent, "not a socket|symbolic link")
                self.assertEqual(target.exists(), name == "file")

    def test_symbolic_link_to_a_live_socket_is_refused(self):
        self.the_agent.start()
        second = self.agent(start=False)
        second.socket.symlink_to(self.path)
        self.assert_refuses_to_start(second, "not a socket|symbolic link")
        self.assert_serves(self.the_agent)

    def test_symbolic_link_as_lock_file_is_refused(self):
        target = self.the_agent.dir / "target"
        Path(f"{self.path}.lock").symlink_to(target)
        self.assert_refuses_to_start(self.the_agent, r"\.lock")
        self.assertFalse(target.exists())


class TestDirectory(ListenerTest):
    def agent_in(self, directory):
        return self.agent(start=False, socket_path=Path(directory) / "agent.sock")

    def scratch(self):
        return self.agent(start=False).run_dir

    def test_linked_directory_is_refused(self):
        scratch = self.scratch()
        (scratch / "real").mkdir(mode=0o700)
        (scratch / "link").symlink_to("real")
        self.assert_refuses_to_start(self.agent_in(scratch / "link"), "symbolic link")

    def test_directory_that_others_can_write_is_refused(self):
        directory = self.scratch() / "open"
        directory.mkdir()
        for mode in (0o777, 0o1777, 0o770, 0o702):
            with self.subTest(mode=oct(mode)):
                directory.chmod(mode)
                self.assert_refuses_to_start(self.agent_in(directory), "(?i)write")

    @needs_root
    def test_directory_of_another_user_is_refused(self):
        directory = self.scratch() / "theirs"
        directory.mkdir(mode=0o700)
        os.chown(directory, OTHER_UID, OTHER_UID)
        self.assert_refuses_to_start(self.agent_in(directory), "belongs to")

    def test_file_in_place_of_the_directory_is_refused(self):
        (self.scratch() / "file").write_text("")
        file = self.scratch() / "file"
        file.write_text("")
        self.assert_refuses_to_start(self.agent_in(file), "(?i)director")

    def test_missing_parents_are_refused_by_name(self):
        missing = self.scratch() / "no" / "such"
        self.assert_refuses_to_start(self.agent_in(missing), str(missing))

    def test_path_of_107_bytes_is_taken(self):
        directory = self.scratch()
        name = "s" * (107 - len(str(directory)) - 1)
        agent = self.agent(socket_path=directory / name)
        self.assert_serves(agent)

    def test_path_over_107_bytes_is_refused(self):
        directory = self.scratch()
        for length in (108, 109, 200, 5000):
            with self.subTest(length=length):
                name = "s" * (length - len(str(directory)) - 1)
                agent = self.agent(start=False, socket_path=directory / name)
                self.assert_refuses_to_start(agent, "107")

    def test_relative_path_is_refused(self):
        self.assert_refuses_to_start(self.agent(start=False, socket_path="agent.sock"),
                                     "(?i)absolute")

    def test_socket_comes_from_the_environment_without_an_option(self):
        directory = self.scratch()
        path = directory / "by-environment"
        agent = self.agent(start=False, socket_path="", env={"MTLS_AGENT_SOCK": str(path)}).start()
        agent.socket = path
        self.assert_serves(agent)

    def test_socket_is_in_the_runtime_directory_by_default(self):
        agent = self.agent(start=False, socket_path="").start()
        agent.socket = agent.run_dir / "mtls-agent" / "agent.sock"
        self.assert_serves(agent)


class TestLostSocket(IntegrationTest):
    def setUp(self):
        self.the_agent = self.agent()

    def test_deleted_socket_is_made_again_and_open_connections_live_on(self):
        client = self.connect(self.the_agent)
        for _ in range(3):
            self.the_agent.socket.unlink()
            poll_until(self.the_agent.socket.exists, what="socket made again")
            self.assert_serves(self.the_agent)
            self.assertEqual(stat.S_IMODE(os.stat(self.the_agent.socket).st_mode), 0o600)
        self.assertEqual(client.status().pid, self.the_agent.pid)

    def test_socket_that_is_deleted_at_once_each_time_is_there_in_the_end(self):
        count, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                self.the_agent.socket.unlink()
                count += 1
        self.assertGreater(count, 20)
        poll_until(self.the_agent.socket.exists, what="socket made again")
        self.assert_serves(self.the_agent)

    def test_renamed_socket_is_made_again(self):
        self.the_agent.socket.rename(self.the_agent.run_dir / "elsewhere")
        poll_until(self.the_agent.socket.exists, what="socket made again")
        self.assert_serves(self.the_agent)

    def remove_directory(self, directory):
        """Beside an agent that makes its socket again, this may take a second try."""
        inode = directory.stat().st_ino

        def removed():
            shutil.rmtree(directory, ignore_errors=True)
            return not directory.exists() or directory.stat().st_ino != inode
        poll_until(removed, what="directory removed")

    def ended_or_serves(self):
        if self.the_agent.process.poll() is not None:
            return "ended"
        try:
            return "serves" if self.the_agent.status().pid == self.the_agent.pid else None
        except (OSError, wire.Closed):
            return None

    def test_removed_directory_is_made_again_each_time_or_ends_the_agent(self):
        for _ in range(3):
            self.remove_directory(self.the_agent.run_dir)
            if poll_until(self.ended_or_serves, what="end, or socket made again") == "ended":
                self.assertEqual(self.the_agent.process.returncode, 0)
                return

    def test_moved_directory_is_made_again_or_ends_the_agent(self):
        self.the_agent.run_dir.rename(self.the_agent.dir / "moved")
        if poll_until(self.ended_or_serves, what="end, or socket made again") == "ended":
            self.assertEqual(self.the_agent.process.returncode, 0)

    def test_runtime_directory_that_is_gone_ends_the_agent_cleanly(self):
        """What happens at the user's logout."""
        agent = self.agent(start=False, socket_path="")
        agent.start()
        self.remove_directory(agent.run_dir)
        self.assertEqual(agent.wait_exit(), 0)


class TestParallelStart(IntegrationTest):
    def race(self, path):
        """Two agents start at one path at the same moment; returns the winner."""
        agents = [Agent(socket_path=path) for _ in range(2)]
        for agent in agents:
            self.addCleanup(agent.end)
        barrier = threading.Barrier(2)

        def launch(agent):
            barrier.wait()
            agent.launch()
        threads = [threading.Thread(target=launch, args=(agent,)) for agent in agents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loser = poll_until(lambda: next((a for a in agents if a.process.poll() is not None), None),
                           what="one of the two gives up")
        winner = agents[1 - agents.index(loser)]
        self.assertEqual(loser.process.returncode, 1, loser.log())
        winner.wait_notified("READY=1")
        return winner

    def test_of_two_agents_started_at_once_exactly_one_wins(self):
        path = self.agent(start=False).run_dir / "agent.sock"
        for _ in range(PARALLEL_STARTS // 2):
            winner = self.race(path)
            self.assert_serves(winner)
            winner.stop()

    def test_exactly_one_wins_over_a_stale_socket(self):
        path = self.agent(start=False).run_dir / "agent.sock"
        for _ in range(PARALLEL_STARTS // 2):
            winner = self.race(path)
            self.assert_serves(winner)
            winner.process.send_signal(signal.SIGKILL)
            winner.wait_exit()


if __name__ == "__main__":
    harness.main()
