# SPDX-License-Identifier: Apache-2.0
"""The keys of a reader that has some, and the person at them.

PC/SC part 10: the reader gets a VERIFY without its PIN, has that typed, and sends it to the card.
"""

from .faults import Cut
from .secret import pad

TIMED_OUT, CANCELLED = bytes.fromhex("6400"), bytes.fromhex("6401")
_HEADER = 5  # CLA INS P1 P2 Lc, before the place of the PIN
_SECONDS = 30.0


class Pad:
    def __init__(self, faults):
        self.faults = faults
        self.changed = faults.changed  # a card that is pulled ends the wait
        self.is_asking = False
        self.typed = None  # a text, or an answer in its stead

    def verify(self, template, process):
        """@template: the command. @process: what the card does with it. Return: the response."""
        with self.changed:
            self.is_asking, self.typed = True, None
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.typed is not None or self.faults.is_gone, _SECONDS)
            self.is_asking = False
            if self.faults.is_gone:
                raise Cut
            typed = self.typed
        if not isinstance(typed, str):
            return typed or TIMED_OUT
        return process(template[:_HEADER] + pad(typed))

    def type(self, pin):
        self._answer(pin)

    def cancel(self):
        self._answer(CANCELLED)

    def _answer(self, typed):
        with self.changed:
            self.typed = typed
            self.changed.notify_all()

    def wait_asked(self, timeout):
        """Until the reader wants a PIN. Return: whether it did in time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.is_asking, timeout)
