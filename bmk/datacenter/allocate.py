"""Write addresses.yml: allocate what is missing, drop what is gone, leave the rest as it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bmk.datacenter.addresses import lines, settle
from bmk.datacenter.draft import Allocations
from bmk.datacenter.load import examine
from bmk.document import to_yaml

_HEAD = """\
# Addresses and pod ranges that bmk allocated. `bmk validate --write` adds missing lines, drops those of hosts that are
# gone, and never changes another. Review and commit it with dc.yml: a changed line renumbers a running host.
"""


@dataclass(frozen=True, slots=True)
class AddressChanges:
    """What came into the file and what went, as `addresses.NAME` or `pods.CLUSTER.NAME` -> value."""

    path: Path
    added: dict[str, str]
    dropped: dict[str, str]


def write_addresses(ref: str | Path) -> AddressChanges:
    """Bring the addresses.yml of a data center up to date. Raises ConfigError before it writes when dc.yml is wrong."""
    examined = examine(ref)
    examined.require_good()
    old, settled = examined.draft.allocations, settle(examined.draft)
    changes = _difference(examined.source.addresses_path, lines(old), lines(settled))
    if changes.added or changes.dropped:
        _write(changes.path, settled)
    return changes


def _difference(path: Path, old: dict[str, str], new: dict[str, str]) -> AddressChanges:
    added = {key: value for key, value in new.items() if key not in old}
    return AddressChanges(path, added, {key: value for key, value in old.items() if key not in new})


def _write(path: Path, allocations: Allocations) -> None:
    content = allocations.model_dump(mode="json")
    text = _HEAD + to_yaml({key: value for key, value in content.items() if value})
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
