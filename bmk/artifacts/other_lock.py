"""Differences between a lock file and the shipped one, shown with a plan and a build. A lock beside dc.yml is used
without an option. It decides every byte that is installed, so its differences are printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bmk.artifacts.lock import DEFAULT_LOCK, Lock, load_lock

_SHOWN = 20  # differences that are named one by one


def differences(own: Lock, shipped: Lock) -> list[str]:
    """Every name, version and digest that is not the same, as `products.etcd.version: v3.7.1, shipped v3.7.0`."""
    ours, theirs = dict(_flat(own.model_dump())), dict(_flat(shipped.model_dump()))
    return [f"{name}: {_one(ours, name)}, shipped {_one(theirs, name)}" for name in _changed(ours, theirs)]


def other_lock(path: Path | None) -> list[str]:
    """Lines that name a lock and its differences from the shipped one; none for that or a copy of it."""
    if path is None or path.resolve() == DEFAULT_LOCK.resolve():
        return []
    found = differences(load_lock(path), load_lock())
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return (
        [f"{path} is not the lock that bmk ships:", *(f"  {line}" for line in found[:_SHOWN]), *more] if found else []
    )


def _changed(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Versions first: they are why the digests below them differ."""
    names = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    return sorted(names, key=lambda name: not name.endswith(("version", "tag", "go", "debian")))


def _one(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "has none")


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list | tuple):
        yield at, " ".join(map(str, value))
    elif value is not None:
        yield at, str(value)
