# SPDX-License-Identifier: Apache-2.0
"""What a YubiKey adds to PIV: serial number, version, metadata of keys and secrets.

Spec: Yubico's description of the PIV extensions, firmware 5.3 and later.
"""

from . import tlv
from .apdu import Response, Status
from .piv import CARD_AUTHENTICATION, PIN, PUK, SIGNATURE, Piv

GET_METADATA, GET_SERIAL, GET_VERSION = 0xF7, 0xF8, 0xFD

_PIN_NEVER, _PIN_ONCE, _PIN_ALWAYS = 1, 2, 3
_TOUCH_NEVER = 1
_GENERATED = 1


class YubiKey(Piv):
    ATR = bytes.fromhex("3bfd1300008131fe158073c021c057597562694b657940")  # of a YubiKey 5

    def __init__(self, *args):
        super().__init__(*args)
        self.commands.update({GET_METADATA: self.metadata, GET_SERIAL: self.serial,
                              GET_VERSION: self.version})

    def select(self, command):
        """Unlike the standard's card it forgets the PIN."""
        response = super().select(command)
        if response.status == Status.OK:
            self.reset()
        return response

    def serial(self, _command):
        return Response(Status.OK, self.identity.serial.to_bytes(4, "big"))

    def version(self, _command):
        return Response(Status.OK, bytes(map(int, self.identity.yubikey.split("."))))

    def metadata(self, command):
        if command.p2 in (PIN, PUK):
            secret = self.pin if command.p2 == PIN else self.puk
            return Response(Status.OK, tlv.encode(0x01, b"\xff") + tlv.encode(0x05, b"\0") +
                            tlv.encode(0x06, bytes([secret.tries_max, secret.tries])))
        if command.p2 not in self.slots:
            return Response(Status.NO_REFERENCE)
        key = self.slots[command.p2][0]
        policy = {SIGNATURE: _PIN_ALWAYS,
                  CARD_AUTHENTICATION: _PIN_NEVER}.get(command.p2, _PIN_ONCE)
        return Response(Status.OK, tlv.encode(0x01, bytes([key.algorithm])) +
                        tlv.encode(0x02, bytes([policy, _TOUCH_NEVER])) +
                        tlv.encode(0x03, bytes([_GENERATED])) + tlv.encode(0x04, key.public()))
