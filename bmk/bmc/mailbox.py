"""The boot initiator mailbox of an IPMI BMC as lines for ipmitool and back. Pure.

IPMI 2.0, tables 28-2, 28-3 and 28-14, parameter 7: at least five blocks of 16 bytes. It begins with the enterprise
number of whoever says what the rest means; here it is the BMC's maker's, because there are BMCs that take no other.
"""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS, BLOCK = 5, 16
_MAILBOX = "0x07"
_VENDOR = slice(6, 9)  # of an answer to Get Device ID


def image(device_id: bytes, data: bytes) -> bytes:
    """All bytes of the mailbox that holds `data`. ValueError: more than its 77 bytes."""
    content = device_id[_VENDOR].ljust(3, b"\0") + data
    if len(content) > BLOCKS * BLOCK:
        raise ValueError(f"the mailbox has room for {BLOCKS * BLOCK - 3} bytes")
    return content.ljust(BLOCKS * BLOCK, b"\0")


def writing(mailbox: bytes) -> str:
    """Commands that write each block."""
    return "".join(
        f"raw 0x00 0x08 {_MAILBOX} {number} {' '.join(map(hex, mailbox[number * BLOCK : (number + 1) * BLOCK]))}\n"
        for number in range(BLOCKS)
    )


def reading() -> str:
    """Commands that read each block."""
    return "".join(f"raw 0x00 0x09 {_MAILBOX} {number} 0x00\n" for number in range(BLOCKS))


def blocks_of(answers: Sequence[int]) -> bytes:
    """What the blocks hold together; b"" when an answer is missing or of another form."""
    size = 3 + BLOCK  # version of the parameter, which parameter, which block
    parts = [bytes(answers[at : at + size]) for at in range(0, len(answers), size)]
    right = [part[:3] == bytes([1, int(_MAILBOX, 16), number]) for number, part in enumerate(parts)]
    return b"".join(part[3:] for part in parts) if len(answers) == size * BLOCKS and all(right) else b""
