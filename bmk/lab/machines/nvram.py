"""The variables of a virtual machine's UEFI firmware, changed while it is off: the file that OVMF keeps them in.

Its format is EDK2's, as in `AuthenticatedVariableFormat.h`: a firmware volume, in it a store, in it one variable after
another. Nothing is moved: variables are added behind the last one, and marked as deleted where they are.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from bmk.errors import PreflightRefused

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")  # whose variables are the boot entries
LEFT = 3000  # bytes that `filled` leaves: firmware still works; Linux, which keeps 5 KiB free, writes no variable
FIRST_START = 13_300  # bytes that OVMF takes when it starts for the first time; without them it finds nothing to boot

_FILLER = uuid.UUID("6b6d6b00-0000-4000-8000-00000000f177")  # vendor of what `filled` adds
_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_STORE_HEADER = struct.Struct("<16sIBBHI")
_VARIABLE = struct.Struct("<HBBIQ16sIII16s")  # ends with the sizes of name and data, and the vendor
_HEADER_LENGTH = 48  # where a firmware volume says how long its header is
_START, _THERE, _DELETED = 0x55AA, 0x3F, 0x3D
_ALWAYS = 7  # kept without power, for firmware and for the system
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Variable:
    """One that is there, and its place: the next one begins at `end`."""

    at: int
    end: int
    vendor: uuid.UUID
    name: str
    data: bytes


def variables(store: bytes) -> list[Variable]:
    """All that are not deleted. PreflightRefused when these are no variables of OVMF."""
    return [found for found in _walk(store) if store[found.at + 2] == _THERE]


def added(store: bytes, vendor: uuid.UUID, name: str, data: bytes) -> bytes:
    """With one more variable. PreflightRefused when there is no room."""
    at = _free(store)
    text = name.encode("utf-16-le") + b"\0\0"
    header = _VARIABLE.pack(_START, _THERE, 0, _ALWAYS, 0, bytes(16), 0, len(text), len(data), vendor.bytes_le)
    variable = header + text + data
    if len(variable) > room(store):
        raise PreflightRefused("the firmware has no room for another variable", where=name)
    return store[:at] + variable + store[at + len(variable) :]


def filled(store: bytes) -> bytes:
    """With so many variables that there is room for LEFT bytes only, as soon as the firmware has started once."""
    started = any(found.name == "BootOrder" for found in variables(store))
    left = LEFT if started else LEFT + FIRST_START
    number = 0
    while (spare := room(store) - left) > _CHUNK // 16:
        store = added(store, _FILLER, f"Full{number:04d}", bytes(min(spare, _CHUNK) - _CHUNK // 32))
        number += 1
    return store


def emptied(store: bytes, vendor: uuid.UUID = _FILLER, name: str = "") -> bytes:
    """Without the variables of a vendor whose names begin so; without those of `filled`."""
    made = bytearray(store)
    for found in variables(store):
        if found.vendor == vendor and found.name.startswith(name):
            made[found.at + 2] = _DELETED
    return bytes(made)


def room(store: bytes) -> int:
    """Bytes that are free."""
    return _bounds(store)[1] - _free(store)


def _bounds(store: bytes) -> tuple[int, int]:
    """Where variables begin, and where the store ends."""
    begin = struct.unpack_from("<H", store, _HEADER_LENGTH)[0]
    kind, size, *_ = _STORE_HEADER.unpack_from(store, begin)
    if kind != _STORE.bytes_le:
        raise PreflightRefused("these are no variables of OVMF", why="the store does not begin with its mark")
    return begin + _STORE_HEADER.size, begin + size


def _walk(store: bytes) -> Iterator[Variable]:
    at, last = _bounds(store)
    while at + _VARIABLE.size <= last and store[at : at + 2] == _START.to_bytes(2, "little"):
        *_, name_size, data_size, vendor = _VARIABLE.unpack_from(store, at)
        names = at + _VARIABLE.size
        data = names + name_size
        end = -(-(data + data_size) // 4) * 4
        text = store[names : data - 2].decode("utf-16-le", errors="replace")
        yield Variable(at, end, uuid.UUID(bytes_le=vendor), text, store[data : data + data_size])
        at = end


def _free(store: bytes) -> int:
    """Where the next variable goes."""
    return max([_bounds(store)[0], *(found.end for found in _walk(store))])
