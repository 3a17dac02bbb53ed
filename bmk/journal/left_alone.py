"""Hosts that most actions leave alone: a person said so, or they are in the middle of an upgrade. It is on record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from bmk.journal.records import (
    EvacuationRecord,
    MaintenanceRecord,
    ReinstallOrder,
    ResetOrder,
    RetiredRecord,
    UpgradeRecord,
)
from bmk.journal.store import Journal

Kind = Literal["upgrade", "maintenance", "removed", "reset"]


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
    clusters = {host: cluster for cluster, r in UpgradeRecord.load_all(journal).items() for host in r.members}
    upgraded = EvacuationRecord.load_all(journal).items()
    found = {name: _upgrade(record, clusters.get(name, ""), dc) for name, record in upgraded}
    found |= {name: _maintenance(name, record, dc) for name, record in MaintenanceRecord.load_all(journal).items()}
    again = ReinstallOrder.load_all(journal)
    gone = {name: record for name, record in RetiredRecord.load_all(journal).items() if name not in again}
    found |= {name: _reset(record, dc) for name, record in ResetOrder.load_all(journal).items()}
    return found | {name: _removed(name, record, dc) for name, record in gone.items()}


def _upgrade(record: EvacuationRecord, cluster: str, dc: str) -> LeftAlone:
    why = f"its upgrade to {record.target} has begun {_moment(record.at)} and is not over"
    return LeftAlone("upgrade", why, record.at, " ".join(["bmk upgrade", dc, cluster]).strip())


def _maintenance(host: str, record: MaintenanceRecord, dc: str) -> LeftAlone:
    why = f"in maintenance since {_moment(record.at)}, by {record.by}: {record.reason}"
    return LeftAlone("maintenance", why, record.at, f"bmk maintenance {dc} {host} off")


def _removed(host: str, record: RetiredRecord, dc: str) -> LeftAlone:
    """Nobody takes it back by itself: a person takes it out of the file, or has it installed anew."""
    what = "removed" if record.done else "being removed"
    cluster = f" from cluster {record.cluster}" if record.cluster else ""
    reason = f": {record.reason}" if record.reason else ""
    why = f"{what}{cluster} since {_moment(record.at)}, by {record.by}{reason}"
    hint = f"take {host} out of dc.yml, or: bmk reinstall {dc} {host}" if record.done else f"bmk remove {dc} {host}"
    return LeftAlone("removed", why, record.at, hint)


def _reset(record: ResetOrder, dc: str) -> LeftAlone:
    why = f"cluster {record.cluster} is being reset since {_moment(record.at)}, by {record.by}"
    return LeftAlone("reset", why, record.at, f"bmk reset {dc} {record.cluster}")


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
