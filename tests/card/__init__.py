# SPDX-License-Identifier: Apache-2.0
"""A PIV card in software (NIST SP 800-73-4), for the reader driver tests/tools/ifd_socket.c.

    python3 -m card --control SOCKET DIRECTORY

runs one card out of a directory that `files` has written; it is in no reader until told to be.
Nothing here keeps a secret: it is for tests alone.
"""
