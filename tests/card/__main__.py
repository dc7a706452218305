# SPDX-License-Identifier: Apache-2.0
"""One card as a process; it ends when its standard input does."""

import argparse
import sys

from . import files
from .control import Control
from .faults import Faults
from .link import Link
from .piv import Piv
from .yubikey import YubiKey


def main():
    parser = argparse.ArgumentParser(prog="card", description="a PIV card in software, for tests")
    parser.add_argument("--control", required=True, help="path of the control socket")
    parser.add_argument("directory", help="of the card, as card/files.py describes it")
    options = parser.parse_args()
    identity = files.read_identity(options.directory)
    kind = YubiKey if identity.yubikey else Piv
    card = kind(identity, files.read_keys(options.directory), Faults())
    control = Control(options.control, card, Link(card))
    print("ready", flush=True)
    control.serve(sys.stdin.fileno())


main()
