# SPDX-License-Identifier: Apache-2.0
"""The contacts between card and reader: present means connected.

The other end is tests/tools/ifd_socket_reader.c, its header has the messages.
"""

import contextlib
import select
import socket
import threading

from .apdu import Assembler
from .faults import Cut
from .pad import Pad

_POWER_UP, _POWER_DOWN, _RESET, _APDU, _KEYS = b"U", b"D", b"R", b"A", b"K"
_MESSAGE_MAX = 1 + 65544


class Link:
    def __init__(self, card):
        self.card, self.faults = card, card.faults
        self.assembler = Assembler(card.execute)
        self.pad = Pad(card.faults)
        self.changed = threading.Condition()
        self.socket = self.thread = None
        self.is_powered = False
        self.is_seen = False  # had power since it was put in; a card that nobody uses loses it

    @property
    def is_inserted(self):
        return self.socket is not None

    def insert(self, reader):
        """@reader: path of its socket. A card that sits in one is pulled first."""
        self.remove()
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            link.connect(reader)
        except OSError:
            link.close()
            raise
        self.faults.set(is_gone=False)
        self.socket, self.is_seen = link, False
        self.thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
        self.thread.start()

    def remove(self):
        """Returns when the card is out; a signature on its way is lost."""
        if self.thread is None:
            return
        link = self.socket
        if link is not None:
            with contextlib.suppress(OSError):  # it is ending already
                link.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.thread = None

    def wait_seen(self, timeout):
        """Until the reader has given it power for the first time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.is_seen, timeout)

    def wait_removed(self, timeout):
        """Until it is out: pulled, cut, or left by the reader."""
        with self.changed:
            return self.changed.wait_for(lambda: self.socket is None, timeout)

    def _set_powered(self, powered):
        with self.changed:
            self.is_powered = powered
            self.is_seen |= powered
            self.changed.notify_all()

    def _serve(self, link):
        watcher = threading.Thread(target=self._watch, args=(link,), daemon=True)
        watcher.start()
        try:
            while self._answer(link, link.recv(_MESSAGE_MAX)):
                pass
        except (OSError, Cut):
            pass  # the reader is gone, or the card
        finally:
            with contextlib.suppress(OSError):  # it had ended already
                link.shutdown(socket.SHUT_RDWR)
            watcher.join()
            self._reset()
            with self.changed:
                self.is_powered, self.socket = False, None
                link.close()
                self.changed.notify_all()

    def _watch(self, link):
        """A signature that is held up ends with the link."""
        poll = select.poll()
        poll.register(link, select.POLLRDHUP)
        poll.poll()
        self.faults.set(is_gone=True)

    def _answer(self, link, message):
        """False at the end."""
        kind, body = message[:1], message[1:]
        if kind == _APDU:
            self.faults.before_command()
            link.sendall(_APDU + self.assembler.process(body))
        elif kind == _KEYS:
            link.sendall(_KEYS + self.pad.verify(body, self.assembler.process))
        elif kind in (_POWER_UP, _RESET):
            self._reset()
            link.sendall(kind + self.card.ATR)
            self._set_powered(True)
        elif kind == _POWER_DOWN:
            self._reset()
            self._set_powered(False)
        return bool(kind)

    def _reset(self):
        self.card.reset()
        self.assembler.reset()
