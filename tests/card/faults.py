# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with a card, on request; and the wait for a finger.

All of it happens to GENERAL AUTHENTICATE with a key, the signature, unless said otherwise. Used by
two threads: the link's, which signs, and the control socket's.
"""

import threading


class Cut(Exception):
    """The link ends here, without an answer."""


class Faults:
    def __init__(self):
        self.changed = threading.Condition()
        self.is_gone = False     # pulled: whoever waits for something gives up
        self.signing = False     # a signature has begun
        self.make_new()

    def make_new(self):
        with self.changed:
            self.delay = 0.0        # seconds until a signature is made, as when a touch is wanted
            self.is_hung = False    # no signature until this is over
            self.cut_command = ""   # "sign": the next signature, "any": the next command of all
            self.status_words = []  # of the next signatures
            self.changed.notify_all()

    def set(self, **values):
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def before_command(self):
        self._cut_if("any")

    def during_signature(self):
        """Waits as told. Return: the status word to fail with, or None."""
        with self.changed:
            self.signing = True
            self.changed.notify_all()
            try:
                self.changed.wait_for(lambda: self.is_gone, self.delay)
                self.changed.wait_for(lambda: self.is_gone or not self.is_hung)
                if self.is_gone:
                    raise Cut
            finally:
                self.signing = False
                self.changed.notify_all()
            self._cut_if("sign")
            return self.status_words.pop(0) if self.status_words else None

    def wait_signing(self, timeout):
        """Until a signature has begun and is waiting. Return: whether one was there in time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.signing, timeout)

    def _cut_if(self, command):
        if self.cut_command == command:
            self.cut_command = ""
            raise Cut
