"""The small ISO 9660 volume that carries a nonce to a machine. Pure. bmk/agent/nonces/media.py reads it there."""

from __future__ import annotations

import struct

LABEL, FILE = b"BMK_NONCE", b"NONCE.;1"
LARGEST_FILE = 4096
SECTOR = 2048
SECTORS = 64  # of the whole volume, most of them empty
_DESCRIPTOR, _END, _LITTLE, _BIG, _ROOT, _FILE = 16, 17, 18, 19, 20, 21  # what is in which sector
_YEAR = b"\x7e\x0b\x01\0\0\0\0"  # 2026-11-01, as directory records say it: the same nonce makes the same bytes
_NO_DATE = b"0" * 16 + b"\0"


def volume(data: bytes) -> bytes:
    """The image with one file that holds `data`, as ECMA-119 says it. There is no boot record: nothing in it boots."""
    if len(data) > LARGEST_FILE:
        raise ValueError(f"a nonce's file has at most {LARGEST_FILE} bytes")
    root = _record(b"\0", _ROOT, SECTOR, directory=True)
    listing = root + _record(b"\1", _ROOT, SECTOR, directory=True) + _record(FILE, _FILE, len(data))
    sectors = {
        _DESCRIPTOR: _descriptor(root),
        _END: b"\xffCD001\1",
        _LITTLE: struct.pack("<BBIH", 1, 0, _ROOT, 1) + b"\0\0",
        _BIG: struct.pack(">BBIH", 1, 0, _ROOT, 1) + b"\0\0",
        _ROOT: listing,
        _FILE: data,
    }
    image = bytearray(SECTORS * SECTOR)
    for number, content in sectors.items():
        image[number * SECTOR : number * SECTOR + len(content)] = content
    return bytes(image)


def _descriptor(root: bytes) -> bytes:
    spaces = b" " * 32
    parts = (
        *(b"\1CD001\1\0", spaces, LABEL.ljust(32), bytes(8), _both(SECTORS), bytes(32)),
        *(
            _both16(1),
            _both16(1),
            _both16(SECTOR),
            _both(10),
        ),  # one volume of one; bytes of a sector, of the path table
        *(struct.pack("<II", _LITTLE, 0), struct.pack(">II", _BIG, 0), root),
        *(b" " * (4 * 128), b" " * (3 * 37), _NO_DATE * 4, b"\1\0"),  # makers, files about rights, dates, version
    )
    return b"".join(parts)


def _record(name: bytes, sector: int, size: int, *, directory: bool = False) -> bytes:
    body = b"\0" + _both(sector) + _both(size) + _YEAR + bytes([2 if directory else 0, 0, 0]) + _both16(1)
    body += bytes([len(name)]) + name + b"\0" * (len(name) % 2 == 0)
    return bytes([len(body) + 1]) + body


def _both(number: int) -> bytes:
    """In both byte orders, as this format wants it."""
    return struct.pack("<I", number) + struct.pack(">I", number)


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)
