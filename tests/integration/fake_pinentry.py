# SPDX-License-Identifier: Apache-2.0
"""A pinentry that a test controls: speaks the Assuan side, answers as it is told, records what it sees.

As a program: `fake_pinentry.py DIRECTORY`. DIRECTORY/answers has one answer a line, of which each run
takes the first: `pin TEXT`, `cancel`, `timeout`, `empty`, `nobody`, `crash`, `hang`, `wait FILE TEXT`
(the PIN once FILE is there), `long`. Without a line it cancels. DIRECTORY/seen gets one JSON object for
each dialog.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import unquote

CANCELLED, TIMEOUT, NO_PIN_ENTRY = 83886179, 83886142, 83886165  # gpg-error.h, source pinentry


class Pinentry:
    """The test's side: the program's file, its answers, and what it saw."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.dir.mkdir()
        self.dir.chmod(0o755)
        self.program = self.dir / "pinentry"
        self.program.write_text(f"#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} "
                                f"{self.dir}\n")
        self.program.chmod(0o755)
        self.answer()

    def answer(self, *lines):
        (self.dir / "answers").write_text("".join(line + "\n" for line in lines))

    @property
    def dialogs(self):
        """What each dialog was told, in their order; those that stand now among them."""
        file = self.dir / "seen"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def running(self):
        return [d["pid"] for d in self.dialogs if os.path.exists(f"/proc/{d['pid']}")]


def take_answer(directory):
    with open(directory / "answers", "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        first, _, rest = file.read().partition("\n")
        file.seek(0)
        file.truncate()
        file.write(rest)
    return first or "cancel"


def record(directory, dialog):
    with open(directory / "seen", "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(dialog) + "\n")


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def give(pin):
    say("D " + pin.replace("%", "%25"))
    say("OK")


def refuse(code, text):
    say(f"ERR {code} {text} <Pinentry>")


def run_answer(answer):
    word, _, rest = answer.partition(" ")
    if word == "wait":
        file, _, rest = rest.partition(" ")
        while not os.path.exists(file):
            time.sleep(0.01)
        word = "pin"
    if word == "pin":
        give(rest)
    elif word == "empty":
        say("OK")
    elif word == "long":
        give("9" * 400)
    elif word == "crash":
        os.abort()
    elif word == "hang":
        while True:
            time.sleep(60)
    elif word == "timeout":
        refuse(TIMEOUT, "Timeout")
    elif word == "nobody":
        refuse(NO_PIN_ENTRY, "No pinentry")
    else:
        refuse(CANCELLED, "Operation cancelled")


def main(directory):
    dialog = {"pid": os.getpid(), "options": {}, "env": dict(os.environ)}
    say("OK Pleased to meet you")
    for line in sys.stdin:
        command, _, rest = line.rstrip("\n").partition(" ")
        if command == "OPTION":
            name, _, value = rest.partition("=")
            dialog["options"][name] = unquote(value)
        elif command == "GETPIN":
            answer = take_answer(directory)
            record(directory, {**dialog, "answer": answer.partition(" ")[0]})
            run_answer(answer)
            continue
        elif command == "BYE":
            say("OK closing connection")
            return
        else:
            dialog[command] = unquote(rest)
        say("OK")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
