"""What an image, made for sectors of 512 bytes, needs on a disk with larger ones (4Kn): a table and an ESP of its own.

A GPT counts in sectors of its disk and begins at the second one. The sectors of a FAT must not be smaller than the
disk's, or the kernel does not mount it. File systems of Linux have blocks of 4096 bytes and need nothing.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk.agent.errors import AgentError
from bmk.agent.model import SECTOR
from bmk.agent.probe import mounted, parse_blkid
from bmk.agent.programs import output

KNOWN = (SECTOR, 4096)  # bytes
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")  # of a GPT
_ENTRY = struct.Struct("<32sQQ80s")  # type and own UUID, first and last sector, the rest
_COUNT = 128  # entries of a table
_PROTECTIVE = struct.Struct("<BBBBBBBBII")  # the one partition of the MBR before a GPT
_MBR_TABLE, _BOOT_CODE = 446, 440  # offset of the MBR's table, bytes of boot code before it


def table_for(first: bytes, sector: int, size: int) -> bytes:
    """The first MiB of an image, its table written for a disk of `size` bytes with sectors of `sector` bytes. Pure.

    Without the copy at the end of the disk: whoever writes the table next puts it there. AgentError when a partition
    does not begin or end with a sector of the disk.
    """
    if sector == SECTOR:
        return first
    entries = _entries(first, sector)
    last = size // sector - 1
    room = -(-len(entries) // sector)  # sectors that the entries take
    guid = _HEADER.unpack_from(first, SECTOR)[9]
    fields = (1, last, 2 + room, last - 1 - room, guid, 2, _COUNT, _ENTRY.size, zlib.crc32(entries))
    header = _header(fields, 0)
    made = bytearray(len(first))
    made[:_BOOT_CODE] = first[:_BOOT_CODE]
    _PROTECTIVE.pack_into(made, _MBR_TABLE, 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, min(last, 0xFFFFFFFF))
    made[510:512] = b"\x55\xaa"
    made[sector : sector + _HEADER.size] = _header(fields, zlib.crc32(header))
    made[2 * sector : 2 * sector + len(entries)] = entries
    return bytes(made)


def _header(fields: tuple[object, ...], checksum: int) -> bytes:
    return _HEADER.pack(b"EFI PART", 0x10000, _HEADER.size, checksum, 0, *fields)


def _entries(first: bytes, sector: int) -> bytes:
    """The table's entries, counted in sectors of the disk."""
    signature, *_, start, count, length, _ = _HEADER.unpack_from(first, SECTOR)
    if signature != b"EFI PART" or length != _ENTRY.size or count > _COUNT:
        what = "the written image has no partitions"
        raise AgentError(what, hint="bmk artifacts build", code="image-build")
    made = bytearray(_COUNT * _ENTRY.size)
    for number in range(count):
        kind, begin, end, rest = _ENTRY.unpack_from(first, start * SECTOR + number * length)
        if any(kind):
            places = [divmod(place * SECTOR, sector) for place in (begin, end + 1)]
            if any(remainder for _, remainder in places):
                what = f"partition {number + 1} of the image does not fit sectors of {sector} bytes"
                raise AgentError(what, hint="bmk artifacts build", code="image-build")
            _ENTRY.pack_into(made, number * _ENTRY.size, kind, places[0][0], places[1][0] - 1, rest)
    return bytes(made)


def remake_esp(device: str, sector: int) -> None:
    """The same files, volume id and label in a FAT with sectors of `sector` bytes. AgentError or OSError.

    FAT16: for FAT32 it would have too few clusters of that size, and firmware that counts them would be misled.
    """
    volume = parse_blkid(output("blkid", "-p", "-o", "export", device))["UUID"].replace("-", "")
    output("modprobe", "loop")  # its sectors have 512 bytes, and busybox puts one below files only
    with TemporaryDirectory(prefix="bmk-") as place:
        copy = Path(place, "esp")
        copy.write_bytes(Path(device).read_bytes())
        with mounted(str(copy), "vfat", "ro,loop") as old:
            files = {path.relative_to(old): path.read_bytes() for path in old.rglob("*") if path.is_file()}
    output("mkfs.fat", "-F", "16", "-s", "1", "-S", str(sector), "-i", volume, "-n", "ESP", device)
    with mounted(device, "vfat", "rw") as new:
        for name, data in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(data)
