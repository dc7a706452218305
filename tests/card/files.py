# SPDX-License-Identifier: Apache-2.0
"""The directory of a card: who it is, its secrets, its keys and certificates.

card.json has the serial number, PIN, PUK, their tries, and the YubiKey's version or null. For each
slot SS there are SS.key (PEM) and SS.crt (PEM). What happens to a card while it runs is not written
back: the directory is how it comes from its maker.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from . import keys

SLOTS = (0x9A, 0x9C, 0x9D, 0x9E)


@dataclass
class Identity:
    serial: int
    pin: str = "123456"
    puk: str = "12345678"
    tries: int = 3
    puk_tries: int = 3
    yubikey: str = ""  # version of its firmware; "": any maker's card


def guid(identity):
    """The number of the card in its CHUID; SP 800-73-4 part 1 section 3.4.1.

    Twice the same half: a PKCS#11 serial number has room for one of them, and any will do.
    """
    return 2 * hashlib.sha256(b"guid %d" % identity.serial).digest()[:8]


def write_identity(directory, identity):
    Path(directory, "card.json").write_text(json.dumps(asdict(identity)))


def read_identity(directory):
    return Identity(**json.loads(Path(directory, "card.json").read_text()))


def write_key(directory, slot, key_pem, cert_pem):
    Path(directory, f"{slot:02x}.key").write_bytes(key_pem)
    Path(directory, f"{slot:02x}.crt").write_bytes(cert_pem)


def read_keys(directory):
    """(key, certificate in DER) by slot, of those that the card has."""
    found = {}
    for slot in SLOTS:
        path = Path(directory, f"{slot:02x}.key")
        if path.exists():
            found[slot] = keys.load(path.read_bytes()), _der(path.with_suffix(".crt").read_text())
    return found


def _der(pem):
    return base64.b64decode("".join(pem.split("-----")[2].split()))
