"""An LVM physical volume's label, as `pvcreate` writes it and blkid recognises it, without LVM on the controller.
Pure but for I/O.

Layout (lib/format_text/layout.h and lib/label/label.h of LVM2): sector 1 holds the label header, its checksum over
the rest of the sector, and the physical volume's header.
"""

from __future__ import annotations

import struct
from pathlib import Path

from bmk.errors import PreflightRefused

SECTOR = 512
_FIRST = 4 * SECTOR
_UUID = b"bmkLab0000000000000000000000lvm1"  # 32 characters, without the dashes that LVM prints


def label(size: int) -> bytes:
    """Sector 1 of a physical volume on a disk of `size` bytes."""
    areas = struct.pack("<QQQQ", 2**20, 0, 0, 0)  # one data area from 1 MiB to the end, then the end of the list
    metadata = struct.pack("<QQQQ", 4096, 2**20 - 4096, 0, 0)
    body = struct.pack("<I8s", 32, b"LVM2 001") + _UUID + struct.pack("<Q", size) + areas + metadata
    rest = body.ljust(SECTOR - 20, b"\0")
    return struct.pack("<8sQI", b"LABELONE", 1, checksum(rest)) + rest


def checksum(data: bytes) -> int:
    """LVM's CRC: the usual polynomial, its own start value, no inversion at the end."""
    crc = 0xF597A6CF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def write(disk: Path) -> None:
    """Put the label on a blank disk. Refuses one that holds something: a fault must not destroy an installation."""
    if disk.exists():
        with disk.open("rb") as file:
            first = file.read(_FIRST)
        if first.strip(b"\0") and first[SECTOR : 2 * SECTOR] != label(disk.stat().st_size):
            raise PreflightRefused(
                "the disk is not blank", where=str(disk), hint="bmk lab down DC --delete, then up again"
            )
    disk.touch()
    size = disk.stat().st_size
    with disk.open("r+b") as file:
        file.seek(SECTOR)
        file.write(label(size))


def is_there(disk: Path) -> bool:
    """Whether the label is on a disk."""
    if not disk.exists():
        return False
    with disk.open("rb") as file:
        file.seek(SECTOR)
        return file.read(8) == b"LABELONE"


def erase(disk: Path) -> None:
    """Take the label off, if it is still there."""
    if is_there(disk):
        with disk.open("r+b") as file:
            file.seek(SECTOR)
            file.write(bytes(SECTOR))
