"""The nonce on the serial console: the ramdisk makes it and prints it, the deployer reads it through the BMC. Pure.

Others print there too: firmware, iPXE, the kernel in the middle of a line. A line counts only whole and with its
fingerprint; two lines of one grant that say different things are an attack and never a choice.
"""

from __future__ import annotations

import re

from bmk.agent.proof import NONCE, fingerprint

_LINE = re.compile(rb"(?:^|[\r\n])bmk: nonce ([0-9a-f]{1,64}) ([0-9a-f]{%d}) ([0-9a-f]{8})(?=[\r\n])" % (2 * NONCE))


def line(grant: str, nonce: bytes) -> str:
    """What `Hardware.say` is told, which puts `bmk: ` before it."""
    return f"nonce {grant} {nonce.hex()} {fingerprint(grant, nonce)}"


def nonces_in(text: bytes, grant: str) -> set[bytes]:
    """Every nonce that a console's text names for this grant."""
    found = set()
    for match in _LINE.finditer(text):
        of, nonce = match[1].decode(), bytes.fromhex(match[2].decode())
        if of == grant and fingerprint(of, nonce).encode() == match[3]:
            found.add(nonce)
    return found
