"""Which disk a selector means, and what a disk is called. Pure, and the only place that decides it.

Deployer and install ramdisk share this module, so that what a plan shows is what the ramdisk does. It is packed into
the ramdisk: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

KEYS = ("serial", "wwn", "size", "rotational")  # of a selector
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"^(>=|<=|=)?\s*([0-9]+(?:\.[0-9]+)?)\s*(MB|GB|TB|MiB|GiB|TiB)$")
_SAME = 0.05  # "480 GB" disks differ by vendor
_LONGEST = 200  # characters of a serial
_WWN_PREFIX = re.compile(r"^(wwn-)?(0x|naa\.|eui\.|nvme\.|uuid\.)?")


class ComparableDisk(Protocol):
    """What is compared. `name` is the kernel's (sda), `size` in bytes; None: the disk does not say."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def serial(self) -> str | None: ...
    @property
    def wwn(self) -> str | None: ...
    @property
    def rotational(self) -> bool | None: ...


D = TypeVar("D", bound=ComparableDisk)


def matching(selector: Mapping[str, Any], disks: Sequence[D]) -> list[D]:
    """The disks that a selector means; an empty one means any. ValueError when it cannot be understood completely."""
    unknown = sorted(set(selector) - set(KEYS))
    if unknown:
        raise ValueError(f"the disk selector has keys that nobody knows here: {', '.join(unknown)}")
    return [disk for disk in disks if _matches(selector, disk)]


def _matches(selector: Mapping[str, Any], disk: ComparableDisk) -> bool:
    serial, wwn, size, rotational = (selector.get(key) for key in KEYS)
    return (
        (serial is None or plain_serial(disk.serial) == plain_serial(serial) != "")
        and (wwn is None or plain_wwn(disk.wwn) == plain_wwn(wwn) != "")
        and (size is None or fits(str(size), disk.size))
        and (rotational is None or disk.rotational is rotational)
    )


def names(disk: ComparableDisk) -> tuple[str, ...]:
    """What names this disk in a confirmation, best first: serial and WWN; where it has neither, path and size."""
    known = tuple(filter(None, (plain_serial(disk.serial), plain_wwn(disk.wwn))))
    return known or (f"/dev/{disk.name} of {disk.size} bytes",)


def same_drive(one: ComparableDisk, other: ComparableDisk) -> bool:
    """Whether two disks of the kernel are one drive, reached by two ways: a WWN is the drive's, not the cable's."""
    return (
        plain_wwn(one.wwn) == plain_wwn(other.wwn) != ""
        and plain_serial(one.serial) == plain_serial(other.serial)
        and one.size == other.size
    )


def describe(selector: Mapping[str, Any]) -> str:
    """The selector in words; an empty one means "the only disk"."""
    words = [f"{key} {selector[key]}" for key in KEYS[:3] if selector.get(key) is not None]
    if selector.get("rotational") is not None:
        words.append("rotational" if selector["rotational"] else "solid state")
    return ", ".join(words) or "the only disk"


def listed(disks: Sequence[ComparableDisk]) -> str:
    """The disks in words."""
    return ", ".join(f"{d.name} (serial {d.serial}, wwn {d.wwn}, {d.size / 1e9:.1f} GB)" for d in disks) or "no disk"


def plain_serial(text: object) -> str:
    """A serial as every part of bmk compares it: one printable line, as the journal keeps what a machine said."""
    printable = "".join(c if c.isprintable() else "?" for c in str(text or "").strip()[:_LONGEST])
    return " ".join(printable.split())


def plain_wwn(text: object) -> str:
    """A WWN without case, separators and the prefixes that kernel, udev, labels and vendors put before it."""
    return re.sub("[: -]", "", _WWN_PREFIX.sub("", str(text or "").strip().lower()))


def fits(wanted: str, size: int) -> bool:
    """Whether a size in bytes is of a class such as `>=400GB`, `<=1TB` or `480GB` (within 5 %). ValueError: no size."""
    match = _SIZE.match(wanted.strip())
    if match is None:
        raise ValueError(f"{wanted!r} is no size: write it as 480GB or >=400GB")
    relation, number, unit = match.groups()
    limit = float(number) * _UNITS[unit]
    if relation == ">=":
        return size >= limit
    if relation == "<=":
        return size <= limit
    return abs(size - limit) <= _SAME * limit
