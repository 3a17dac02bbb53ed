"""What the deployer put on the virtual medium that it had the BMC insert: one file of a small ISO 9660 volume.

The device's bytes are parsed here, never mounted, and nothing but the first sectors of small volumes is read.
"""

from __future__ import annotations

import os
import queue
import struct
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

LABEL, FILE = b"BMK_NONCE", b"NONCE.;1"
SECTOR = 2048
LARGEST_VOLUME = 4 << 20  # bytes; ours have 128 KiB, and what is larger is left alone
LARGEST_FILE = 4096
READ = 128 << 10  # bytes from the start of a volume
MOST_DRIVES = 16

_SYS_BLOCK = Path("/sys/block")
_DESCRIPTOR = 16  # the sector of the primary volume descriptor
_PAUSE = 0.25


def read(seconds: float = 20.0, sys_block: Path = _SYS_BLOCK, dev: Path = Path("/dev")) -> bytes | None:
    """The file's bytes. None: no volume with our label within `seconds`, or several that differ: in doubt, no proof."""
    end = time.monotonic() + seconds
    while True:
        found = _found(_drives(sys_block, dev), end)
        if found or time.monotonic() >= end or not _may_appear(sys_block):
            return found.pop() if len(found) == 1 else None
        time.sleep(_PAUSE)


def file_of(volume: bytes) -> bytes | None:
    """The nonce's file in the first bytes of a volume. None: not our label, or not as we write it. Pure."""
    descriptor = volume[_DESCRIPTOR * SECTOR :][:SECTOR]
    if descriptor[:6] != b"\1CD001" or descriptor[40:72].rstrip(b" \0") != LABEL:
        return None
    with suppress(struct.error):
        directory = _extent(volume, descriptor[156:190])
        at = 0
        while at < len(directory) and (length := directory[at]):
            record = directory[at : at + length]
            if record[33 : 33 + record[32]] == FILE:
                return _extent(volume, record) or None
            at += length
    return None


def _extent(volume: bytes, record: bytes) -> bytes:
    """The bytes that a directory record means; b"" when they are not all there, or more than our file may have."""
    sector, _, size = struct.unpack_from("<I4sI", record, 2)
    data = volume[sector * SECTOR :][:size]
    return data if len(data) == size <= LARGEST_FILE else b""


def _drives(sys_block: Path, dev: Path) -> list[Path]:
    """Drives whose medium can be taken out: disks that a system is installed to are none of them."""
    with suppress(OSError):
        return [dev / path.name for path in sorted(sys_block.iterdir()) if _removable(path)][:MOST_DRIVES]
    return []


def _removable(path: Path) -> bool:
    with suppress(OSError):
        return (path / "removable").read_text().strip() == "1"
    return False


def _may_appear(sys_block: Path) -> bool:
    """Whether a drive or a bus of such drives is here, whose medium may still be on its way."""
    return any(sys_block.glob("sr*")) or any((sys_block.parent / "bus/usb/devices").glob("*"))


def _found(drives: Iterable[Path], end: float) -> set[bytes]:
    """What the drives hold. Each is read by a thread of its own: a drive that hangs keeps nobody."""
    answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def look(drive: Path) -> None:
        try:
            answers.put(file_of(_first_bytes(drive)))
        except OSError:
            answers.put(None)

    readers = [threading.Thread(target=look, args=(drive,), daemon=True) for drive in drives]
    for reader in readers:
        reader.start()
    found = set()
    for _ in readers:
        with suppress(queue.Empty):
            found.add(answers.get(timeout=max(0.1, end - time.monotonic())))
    return {data for data in found if data is not None}


def _first_bytes(drive: Path) -> bytes:
    """The start of a small volume, b"" of a larger one. Follows no link and waits for no pipe."""
    device = os.open(drive, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(device, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        # Asked of the open device: before its first opening the kernel does not know the size of an optical medium.
        if not 0 < file.seek(0, os.SEEK_END) <= LARGEST_VOLUME:
            return b""
        file.seek(0)
        data = bytearray()
        while len(data) < READ and (part := file.read(READ - len(data))):
            data += part
    return bytes(data)
