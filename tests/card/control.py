# SPDX-License-Identifier: Apache-2.0
"""The hand that holds the card: a Unix socket, one request in JSON for each connection.

A request is a list, the name and its arguments; the answer is an object with "error" or what was
asked for. A request may wait, so each has a thread of its own.
"""

import json
import os
import socket
import threading


class Control:
    def __init__(self, path, card, link):
        self.card, self.link, self.faults = card, link, card.faults
        self.requests = {
            "insert": self.link.insert, "remove": self.link.remove,
            "delay": lambda seconds: self.faults.set(delay=seconds),
            "hang": lambda: self.faults.set(is_hung=True),
            "unhang": lambda: self.faults.set(is_hung=False),
            "cut": lambda command: self.faults.set(cut_command=command),
            "status-words": lambda words: self.faults.set(status_words=words),
            "tries": self.tries, "make-new": self.card.make_new,
            "status": self.status,
            "type": self.link.pad.type, "cancel": self.link.pad.cancel,
            "wait-asked": lambda seconds: {"reached": self.link.pad.wait_asked(seconds)},
            "wait-signing": lambda seconds: {"reached": self.faults.wait_signing(seconds)},
            "wait-seen": lambda seconds: {"reached": self.link.wait_seen(seconds)},
            "wait-removed": lambda seconds: {"reached": self.link.wait_removed(seconds)},
        }
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)

    def serve(self, until):
        """Until the descriptor @until ends: whoever started the card is gone."""
        threading.Thread(target=self._accept, daemon=True).start()
        while os.read(until, 4096):
            pass

    def _accept(self):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer):
        with peer, peer.makefile("rw") as stream:
            try:
                name, *arguments = json.loads(stream.readline())
                answer = self.requests[name](*arguments) or {}
            except (OSError, ValueError, KeyError, TypeError) as error:
                answer = {"error": repr(error)}
            try:
                stream.write(json.dumps(answer) + "\n")
                stream.flush()
            except OSError:
                pass  # did not wait for it

    def tries(self, pin, puk):
        self.card.pin.tries, self.card.puk.tries = pin, puk

    def status(self):
        return {
            "inserted": self.link.is_inserted, "powered": self.link.is_powered,
            "verified": self.card.verified, "status_words": self.faults.status_words,
            "tries": self.card.pin.tries, "puk_tries": self.card.puk.tries,
            "verifies": self.card.verifies, "signatures": self.card.signatures,
            "instructions": {f"{ins:02X}": n for ins, n in self.card.instructions.items()},
        }
