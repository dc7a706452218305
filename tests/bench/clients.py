# SPDX-License-Identifier: Apache-2.0
"""The bench's client processes, and what they measured.

A client says "ready" once it is set up, then works on request and answers with one line of JSON
(bench_loop.h, bench_spawn.c). Clients of different peers stand ready side by side, so that rounds
can alternate between them and no start is ever in a measurement.
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path

BINS_PER_OCTAVE = 512  # latency.h has the same number
READY_DEADLINE = 60


class Broken(Exception):
    """Something does not work at all: the one thing that fails a bench."""


class Sample:
    """Latencies of one round, of one process or merged from several."""

    def __init__(self, parts):
        self.count = sum(part["count"] for part in parts)
        self.failures = sum(part["failures"] for part in parts)
        self.seconds = max(part["seconds"] for part in parts)
        self._bins = {}
        for part in parts:
            for index, count in part["bins"]:
                self._bins[index] = self._bins.get(index, 0) + count

    @property
    def rate(self):
        """Units of work per second."""
        return self.count / self.seconds

    def percentile(self, share):
        """Microseconds within which this share of the work was done."""
        wanted, seen = share * self.count, 0
        for index in sorted(self._bins):
            seen += self._bins[index]
            if seen >= wanted:
                octave = max(index // BINS_PER_OCTAVE - 1, 0)
                return (index - octave * BINS_PER_OCTAVE + 0.5) * 2 ** octave / 1000
        raise Broken("nothing was measured")

    @property
    def p50(self):
        return self.percentile(0.50)

    @property
    def p99(self):
        return self.percentile(0.99)


class Client:
    """One bench program that waits for requests."""

    def __init__(self, command, env=None):
        self.command = [os.fspath(word) for word in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        if self._read() != "ready":
            raise Broken(f"{' '.join(self.command)} did not start")

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise Broken(f"{' '.join(self.command)} ended with {code}")
        return line.strip()

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self._read())

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


class Clients:
    """Processes of one peer that work at the same time."""

    def __init__(self, commands):
        """@commands: (command, environment) for each; they are started one after the other."""
        self.clients = []
        try:
            for command, env in commands:
                self.clients.append(Client(command, env))
        except Exception:
            self.end()
            raise

    def run(self, seconds):
        return self.request(f"run {int(seconds * 1000)}")

    def spawn(self, count, at_once=1):
        return self.request(f"spawn {count} {at_once}")

    def request(self, text):
        for client in self.clients:
            client.ask(text)
        return Sample([client.answer() for client in self.clients])

    def pids(self):
        return [client.process.pid for client in self.clients]

    def end(self):
        for client in self.clients:
            client.end()


def descendants(pid):
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
        except OSError:
            continue
    return found


def pin(pids, cpus):
    """Put every thread of these processes and of all below them on these CPUs.

    Where we may, they also go before everything else on the machine: other work then moves the
    figures less. All peers are treated alike.
    """
    for pid in (p for top in pids for p in descendants(top)):
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cpus)
                with contextlib.suppress(PermissionError):
                    os.setpriority(os.PRIO_PROCESS, int(task.name), -20)


def resident_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise Broken(f"process {pid} is gone")


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
