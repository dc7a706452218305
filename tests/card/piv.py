# SPDX-License-Identifier: Apache-2.0
"""The PIV application: what each command does, and the security state between them.

Spec: SP 800-73-4 part 1 (data objects), part 2 (commands).
"""

import collections

from . import files, tlv
from .apdu import Response, Status
from .secret import SIZE, Secret

AID = bytes.fromhex("a000000308000010000100")
SELECT, VERIFY, CHANGE_REFERENCE, RESET_RETRY = 0xA4, 0x20, 0x24, 0x2C
GENERAL_AUTHENTICATE, GET_DATA = 0x87, 0xCB
PIN, PUK = 0x80, 0x81

AUTHENTICATION, SIGNATURE, KEY_MANAGEMENT, CARD_AUTHENTICATION = 0x9A, 0x9C, 0x9D, 0x9E
_CERT_TAG = {AUTHENTICATION: 0x5FC105, SIGNATURE: 0x5FC10A, KEY_MANAGEMENT: 0x5FC10B,
             CARD_AUTHENTICATION: 0x5FC101}
_CHUID, _CAPABILITY, _DISCOVERY = 0x5FC102, 0x5FC107, 0x7E


def atr(history):
    """Direct convention, T=1, historical bytes; ISO 7816-3 section 8.2."""
    body = bytes([0x80 | len(history), 0x01]) + history
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes([check])


class Piv:
    """One card. `execute` takes a whole command; the security state is one connection's."""

    ATR = atr(b"testPIV")

    def __init__(self, identity, slots, faults):
        """@slots: (key, certificate) by slot."""
        self.identity, self.slots, self.faults = identity, slots, faults
        self.commands = {
            SELECT: self.select, VERIFY: self.verify, CHANGE_REFERENCE: self.change_reference,
            RESET_RETRY: self.reset_retry, GET_DATA: self.get_data,
            GENERAL_AUTHENTICATE: self.general_authenticate,
        }
        self.objects = self._objects()
        self.make_new()

    def reset(self):
        """Power was cut, or the reader reset the card."""
        self.verified = False
        self.fresh = False  # the PIN came directly before, for keys that want it each time

    def make_new(self):
        """As it came from its maker: the first PIN and PUK, no faults, nothing counted."""
        self.pin = Secret(self.identity.pin, self.identity.tries)
        self.puk = Secret(self.identity.puk, self.identity.puk_tries)
        self.instructions = collections.Counter()  # commands by INS
        self.verifies = 0                          # VERIFY with a PIN in it
        self.signatures = 0                        # that were made
        self.faults.make_new()
        self.reset()

    def execute(self, command):
        self.instructions[command.ins] += 1
        handler = self.commands.get(command.ins)
        if handler is None:
            return Response(Status.NO_INSTRUCTION)
        if command.ins not in (VERIFY, GENERAL_AUTHENTICATE):
            self.fresh = False
        try:
            return handler(command)
        except (ValueError, KeyError):
            return Response(Status.WRONG_DATA)

    # ---- data

    def _objects(self):
        guid = files.guid(self.identity)
        fasc_n = bytes.fromhex("d4e739da739ced39ce739d836858210842108421c84210c3eb")
        objects = {
            _CHUID: tlv.encode(0x30, fasc_n) + tlv.encode(0x34, guid) +
            tlv.encode(0x35, b"20991231") + tlv.encode(0x3E) + tlv.encode(0xFE),
            _CAPABILITY: tlv.encode(0xF0, bytes.fromhex("a000000116ff02") + guid[:14]) +
            b"".join(tlv.encode(tag, value) for tag, value in (
                (0xF1, b"\x21"), (0xF2, b"\x21"), (0xF3, b""), (0xF4, b"\0"), (0xF5, b"\x10"),
                (0xF6, b""), (0xF7, b""), (0xFA, b""), (0xFB, b""), (0xFC, b""), (0xFD, b""),
                (0xFE, b""))),
        }
        for slot, (_, certificate) in self.slots.items():
            objects[_CERT_TAG[slot]] = tlv.encode(0x70, certificate) + tlv.encode(0x71, b"\0") + \
                tlv.encode(0xFE)
        return objects

    def get_data(self, command):
        tag = int.from_bytes(tlv.decode(command.data)[0x5C], "big")
        if tag == _DISCOVERY:  # alone among the objects it is not wrapped
            return Response(Status.OK, tlv.encode(_DISCOVERY, tlv.encode(0x4F, AID) +
                                                  tlv.encode(0x5F2F, b"\x40\0")))
        if tag not in self.objects:
            return Response(Status.NOT_FOUND)
        return Response(Status.OK, tlv.encode(0x53, self.objects[tag]))

    # ---- who may

    def select(self, command):
        """Another application does not exist, and asking for it changes nothing."""
        if not command.data or not AID.startswith(command.data):
            return Response(Status.NOT_FOUND)
        return Response(Status.OK, tlv.encode(0x61, tlv.encode(0x4F, AID[5:]) + tlv.encode(
            0x79, tlv.encode(0x4F, AID[:5])) + tlv.encode(0x50, b"PIV for tests")))

    def verify(self, command):
        if command.p2 != PIN or command.p1 not in (0, 0xFF):
            return Response(Status.NO_REFERENCE)
        if command.p1 == 0xFF:  # log out
            self.reset()
            return Response(Status.OK)
        if not command.data:
            return Response(Status.OK if self.verified else self.pin.status())
        self.verifies += 1
        status = self.pin.check(command.data)
        self.verified = self.fresh = status == Status.OK
        return Response(status)

    def _replace(self, allowed_by, changed, data):
        """Data is the value that allows the change and the new value, eight bytes each."""
        if len(data) != 2 * SIZE:
            return Response(Status.WRONG_DATA)
        status = allowed_by.check(data[:SIZE])
        return Response(changed.change(data[SIZE:]) if status == Status.OK else status)

    def change_reference(self, command):
        secret = {PIN: self.pin, PUK: self.puk}.get(command.p2)
        if secret is None:
            return Response(Status.NO_REFERENCE)
        return self._replace(secret, secret, command.data)

    def reset_retry(self, command):
        if command.p2 != PIN:
            return Response(Status.NO_REFERENCE)
        return self._replace(self.puk, self.pin, command.data)

    def _may_use(self, slot):
        if slot == CARD_AUTHENTICATION:
            return True
        return self.fresh if slot == SIGNATURE else self.verified

    # ---- keys

    def general_authenticate(self, command):
        if command.p2 not in self.slots:
            return Response(Status.NO_REFERENCE)
        key = self.slots[command.p2][0]
        template = tlv.decode(tlv.decode(command.data)[0x7C])
        if command.p1 != key.algorithm:
            return Response(Status.WRONG_PARAMETERS)
        if not self._may_use(command.p2):
            return Response(Status.NOT_SATISFIED)
        self.fresh = False
        status = self.faults.during_signature()
        if status is not None:
            return Response(status)
        if 0x85 in template:
            result = key.exchange(template[0x85])
        else:
            result = key.sign(template[0x81])
            self.signatures += 1
        return Response(Status.OK, tlv.encode(0x7C, tlv.encode(0x82, result)))
