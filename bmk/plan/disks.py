"""Which disk an install would wipe, told from what the ramdisk saw last. It decides anew; this is for the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bmk.datacenter.model import DiskSelector
from bmk.journal.inspection import Disk, read_inspection
from bmk.plan.model import DiskChoice

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"^(>=|<=|=)?\s*([0-9]+(?:\.[0-9]+)?)\s*(MB|GB|TB|MiB|GiB|TiB)$")


def choose_disk(selector: DiskSelector, inspection: Mapping[str, Any] | None) -> DiskChoice:
    """The disk that the selector means; `problem` is set when an inspected host has none or several."""
    text = describe(selector)
    if inspection is None:
        return DiskChoice(selector=text, inspected=False, serial=selector.serial)
    seen = read_inspection(inspection)
    if seen is None:
        return DiskChoice(selector=text, inspected=True, problem="what the ramdisk said of the disks cannot be read")
    found = [disk for disk in seen.disks if _matches(selector, disk)]
    if len(found) != 1:
        return DiskChoice(selector=text, inspected=True, problem=_problem(found, seen.disks))
    disk = found[0]
    return DiskChoice(
        selector=text,
        inspected=True,
        serial=disk.serial,
        name=disk.name,
        size=disk.size,
        holds=disk.holds,
    )


def describe(selector: DiskSelector) -> str:
    """The selector in words; an empty one means "the only disk"."""
    parts = [f"{key} {value}" for key, value in selector.model_dump(exclude_none=True).items() if key != "rotational"]
    if selector.rotational is not None:
        parts.append("rotational" if selector.rotational else "solid state")
    return ", ".join(parts) or "the only disk"


def _matches(selector: DiskSelector, disk: Disk) -> bool:
    return (
        selector.serial in (None, disk.serial)
        and selector.wwn in (None, disk.wwn)
        and selector.rotational in (None, disk.rotational)
        and (selector.size is None or _fits(selector.size, disk.size))
    )


def _fits(wanted: str, size: int) -> bool:
    match = _SIZE.match(wanted)
    if match is None:
        return False
    relation, number, unit = match.groups()
    limit = float(number) * _UNITS[unit]
    if relation == ">=":
        return size >= limit
    if relation == "<=":
        return size <= limit
    return abs(size - limit) <= 0.05 * limit  # "480 GB" disks differ by vendor


def _problem(found: Sequence[Disk], disks: Sequence[Disk]) -> str:
    seen = ", ".join(f"{d.name} serial {d.serial}" for d in (found or disks)) or "no disk at all"
    return f"{'several disks match' if found else 'no disk matches'}: {seen}"
