# SPDX-License-Identifier: Apache-2.0
"""PIN and PUK: values of eight bytes with a counter of tries."""

from .apdu import Status

SIZE = 8


def pad(text):
    return text.encode().ljust(SIZE, b"\xff")


class Secret:
    def __init__(self, text, tries):
        self.value, self.tries_max, self.tries = pad(text), tries, tries

    def status(self):
        """What VERIFY without data answers."""
        return Status.TRIES | self.tries if self.tries else Status.BLOCKED

    def check(self, value):
        """A status word. The wrong value costs a try, the right one gives all of them back."""
        if self.tries == 0:
            return Status.BLOCKED
        if len(value) != SIZE:
            return Status.WRONG_DATA
        if value == self.value:
            self.tries = self.tries_max
            return Status.OK
        self.tries -= 1
        return self.status()

    def change(self, value):
        if len(value) != SIZE:
            return Status.WRONG_DATA
        self.value, self.tries = value, self.tries_max
        return Status.OK
