"""Hosts that most actions leave alone, because a person said so: it is on record of whom, since when and why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from bmk.journal.records import MaintenanceRecord
from bmk.journal.store import Journal

Kind = Literal["maintenance"]


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """`why` in words, since when (seconds since the epoch), and the command that ends it."""

    kind: Kind
    why: str
    since: float
    next: str

    def __str__(self) -> str:
        return f"{self.why}; next: {self.next}"


def left_alone(journal: Journal, dc: str) -> dict[str, LeftAlone]:
    """All such hosts, by name. `dc` as it is in commands."""
    return {name: _maintenance(name, record, dc) for name, record in MaintenanceRecord.load_all(journal).items()}


def _maintenance(host: str, record: MaintenanceRecord, dc: str) -> LeftAlone:
    why = f"in maintenance since {_moment(record.at)}, by {record.by}: {record.reason}"
    return LeftAlone("maintenance", why, record.at, f"bmk maintenance {dc} {host} off")


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
