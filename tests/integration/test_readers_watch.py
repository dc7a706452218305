# SPDX-License-Identifier: Apache-2.0
"""reader-watch as a process: when it is there, what it may do, and that nothing depends on it."""

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from harness import LIBEXECDIR, main, needs_root, poll_until
from pcsc import GENERIC, OPENSC
from reader_rows import ReadersTest
from wire import ReaderState


class TestReaderWatch(ReadersTest):
    def start(self):
        self.the_pcscd = self.pcscd()
        self.the_card = self.card(self.the_pcscd)
        self.the_card.insert()
        agent = self.serve(self.the_card.config(), env=self.the_pcscd.environment, keys=1)
        self.wait_reader(agent, GENERIC, ReaderState.IN_USE)
        return agent

    def watch(self, agent):
        return poll_until(lambda: agent.children("reader-watch"), what="reader-watch")[0]

    def test_is_there_only_for_modules_that_use_readers(self):
        token = self.token()
        token.key("work")
        agent = self.agent(token.config())
        agent.wait_keys(1)
        self.assertEqual(agent.children("reader-watch"), [])
        self.assertEqual((agent.status().readers, agent.status().readers_text), ([], ""))

    def test_is_started_again_and_misses_nothing(self):
        agent = self.start()
        events = self.subscribe(agent)
        before = self.watch(agent)
        os.kill(before, signal.SIGSTOP)
        self.the_card.remove()
        os.kill(before, signal.SIGKILL)
        self.wait_event(events, "removed")
        self.assertNotEqual(self.watch(agent), before)
        self.the_card.insert()
        self.wait_event(events, "inserted")
        self.assert_recovers(agent, self.the_card.keys["9a"])

    def test_signatures_do_not_need_it(self):
        agent = self.start()
        for _ in range(3):
            os.kill(self.watch(agent), signal.SIGKILL)
            self.sign(agent, self.the_card.keys["9a"])
        self.assertEqual(self.starts(agent), 1, agent.log())

    def test_that_fails_again_and_again_is_started_less_and_less_often(self):
        agent = self.start()

        def kill():
            for pid in agent.children("reader-watch"):
                os.kill(pid, signal.SIGKILL)
            return "next start in 500 ms" in agent.log()

        poll_until(kill, what="a pause")
        self.sign(agent, self.the_card.keys["9a"])

    @needs_root
    def test_confinement(self):
        agent = self.start()
        status = Path(f"/proc/{self.watch(agent)}/status").read_text()
        self.assertRegex(status, r"(?m)^NoNewPrivs:\t1$")
        if os.environ.get("MTLS_SANITIZE", "none") == "none":
            self.assertRegex(status, r"(?m)^Seccomp:\t2$")
        fds = os.listdir(f"/proc/{self.watch(agent)}/fd")
        self.assertLessEqual(len(fds), 10, fds)

    def test_ends_in_order_with_the_agent(self):
        agent = self.start()
        self.watch(agent)
        agent.stop()

    def test_refusal_by_polkit_is_named_with_its_remedy(self):
        """pcscd ends the connection of a user whom polkit does not let in."""
        directory = Path(tempfile.mkdtemp(prefix="mtls-"))
        self.addCleanup(shutil.rmtree, directory)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(directory / "pcscd.comm"))
        listener.listen(16)
        served = threading.Event()

        def refuse():
            while not served.is_set():
                if select.select([listener], [], [], 0.1)[0]:
                    client = listener.accept()[0]
                    select.select([client], [], [], 5)  # its question, which is not even read
                    client.close()
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(served.set)
        variable = f"PCSCLITE_CSOCK_NAME={directory}/pcscd.comm"
        agent = self.agent(f"[module card]\npath = {OPENSC}\nenvironment = {variable}\n",
                           env=dict([variable.split("=")]))
        poll_until(lambda: "polkit" in agent.status().readers_text,
                   what=lambda: f"{agent.status().readers_text}\n{agent.log()}")
        self.assertIn("access_pcsc", agent.status().readers_text)
        self.assertIn(f"uid {os.geteuid()}", agent.status().readers_text)

    def test_by_hand(self):
        done = subprocess.run([Path(LIBEXECDIR) / "reader-watch"], capture_output=True, text=True,
                              timeout=10, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("not by hand", done.stderr)

    def test_ends_with_the_agent(self):
        agent = self.start()
        pid = self.watch(agent)
        agent.process.kill()
        agent.process.wait()
        poll_until(lambda: not Path(f"/proc/{pid}").exists(), what="it has ended")


if __name__ == "__main__":
    main()
