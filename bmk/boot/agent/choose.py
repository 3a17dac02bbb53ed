"""Which disk may be wiped: exactly one, named by what does not move between boots. Pure; in doubt, none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bmk.boot.agent.errors import AgentError
from bmk.boot.agent.model import Disk

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"^(>=|<=|=)?\s*([0-9]+(?:\.[0-9]+)?)\s*(MB|GB|TB|MiB|GiB|TiB)$")
_SAME = 0.05  # "480 GB" disks differ by vendor
_KEYS = frozenset(("serial", "wwn", "size", "rotational"))


def choose_disk(selector: Mapping[str, Any], disks: Sequence[Disk]) -> Disk:
    """The one disk that the selector means; an empty selector means the only disk. AgentError for none or several."""
    unknown = sorted(set(selector) - _KEYS)
    if unknown:
        raise AgentError(f"the disk selector has keys that this agent does not know: {', '.join(unknown)}")
    found = [disk for disk in disks if _matches(selector, disk)]
    if len(found) == 1:
        return found[0]
    raise AgentError(
        f"{'several disks match' if found else 'no disk matches'} {describe(selector)}",
        why=f"this machine has {listed(disks)}",
        hint="name one of them by serial or wwn in dc.yml, then run bmk plan again",
        code="disk-choice",
    )


def describe(selector: Mapping[str, Any]) -> str:
    """The selector in words."""
    words = [f"{key} {selector[key]}" for key in ("serial", "wwn", "size") if selector.get(key) is not None]
    if selector.get("rotational") is not None:
        words.append("rotational" if selector["rotational"] else "solid state")
    return ", ".join(words) or "the only disk"


def listed(disks: Sequence[Disk]) -> str:
    """The disks in words."""
    return ", ".join(f"{d.name} (serial {d.serial}, wwn {d.wwn}, {d.size / 1e9:.1f} GB)" for d in disks) or "no disk"


def _matches(selector: Mapping[str, Any], disk: Disk) -> bool:
    serial, wwn, size, rotational = (selector.get(key) for key in ("serial", "wwn", "size", "rotational"))
    return (
        (serial is None or (disk.serial or "").strip() == str(serial).strip() != "")
        and (wwn is None or plain_wwn(disk.wwn) == plain_wwn(wwn) != "")
        and (size is None or fits(str(size), disk.size))
        and (rotational is None or disk.rotational is rotational)
    )


def plain_wwn(text: object) -> str:
    """A WWN without the prefixes that kernel, udev and vendors put before it."""
    return re.sub(r"^(wwn-)?(0x|naa\.|eui\.|nvme\.)?", "", str(text or "").strip().lower())


def fits(wanted: str, size: int) -> bool:
    """Whether a size in bytes is of a class such as `>=400GB`, `<=1TB` or `480GB` (within 5 %)."""
    match = _SIZE.match(wanted.strip())
    if match is None:
        raise AgentError(f"{wanted!r} is no size", hint="write it as 480GB or >=400GB in dc.yml")
    relation, number, unit = match.groups()
    limit = float(number) * _UNITS[unit]
    if relation == ">=":
        return size >= limit
    if relation == "<=":
        return size <= limit
    return abs(size - limit) <= _SAME * limit
