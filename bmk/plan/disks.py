"""Which disk an install would wipe, told from what the ramdisk saw last. It decides anew; this is for the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmk.datacenter.model import DiskSelector
from bmk.datacenter.resolve import Host
from bmk.disks import describe, listed, matching, names, plain_serial, plain_wwn
from bmk.identity import same_serial
from bmk.journal.inspection import read_inspection
from bmk.plan.model import DiskChoice


def inspection_of(host: Host, inspection: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What the ramdisk saw of this machine; None when that was the one that stood there before."""
    seen = read_inspection(inspection) if inspection is not None else None
    return None if seen is not None and same_serial(seen.serial, host.serial) is False else inspection


def choose_disk(selector: DiskSelector, inspection: Mapping[str, Any] | None) -> DiskChoice:
    """The disk that the selector means; `problem` is set when an inspected host has none or several."""
    wanted = selector.model_dump(exclude_none=True)
    text = describe(wanted)
    if inspection is None:
        named = plain_serial(selector.serial) or plain_wwn(selector.wwn) or None
        return DiskChoice(selector=text, inspected=False, serial=selector.serial, identity=named)
    seen = read_inspection(inspection)
    if seen is None:
        return DiskChoice(selector=text, inspected=True, problem="what the ramdisk said of the disks cannot be read")
    found = matching(wanted, seen.disks)
    if len(found) != 1:
        problem = f"{'several disks match' if found else 'no disk matches'}: {listed(found or seen.disks)}"
        return DiskChoice(selector=text, inspected=True, problem=problem)
    disk = found[0]
    return DiskChoice(
        selector=text,
        inspected=True,
        serial=disk.serial,
        identity=names(disk)[0],
        name=disk.name,
        size=disk.size,
        holds=disk.holds,
        foreign=disk.foreign,
    )
