"""Where each host is, told from the newest event of its way; without asking any machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bmk.journal.events import Event
from bmk.journal.store import Journal

State = Literal["new", "ready", "failed", "running", "interrupted", "waiting"]

_WAY = ("phase.started", "phase.finished", "phase.failed", "host.ready")


@dataclass(frozen=True, slots=True)
class Where:
    """One host. `since` in seconds since the epoch; 0 for a host that nothing is known of."""

    host: str
    state: State
    phase: str
    since: float
    text: str


def newest(journal: Journal) -> dict[str, Event]:
    """The newest event of its way, for every host that has one."""
    marks = ",".join("?" * len(_WAY))
    query = f"SELECT max(seq) FROM events WHERE host IS NOT NULL AND kind IN ({marks}) GROUP BY host"  # noqa: S608
    numbers = [row[0] for row in journal.query(query, _WAY)]
    events = [journal.since(number - 1, limit=1)[0] for number in numbers]
    return {e.host: e for e in events if e.host is not None}


def where(host: str, event: Event | None, live_run: str | None) -> Where:
    """Where a host is. `live_run` is the run that holds the lock now: what another run began is interrupted."""
    if event is None:
        return Where(host, "new", "", 0.0, "not registered yet")
    phase = event.phase or ""
    if event.kind == "host.ready" or (event.kind == "phase.finished" and phase == "ready"):
        return Where(host, "ready", "ready", event.at, "")
    if event.kind == "phase.failed":
        return Where(host, "failed", phase, event.at, str(event.data.get("what") or event.text))
    if event.run != live_run:
        return Where(host, "interrupted", phase, event.at, event.text)
    return Where(host, "running" if event.kind == "phase.started" else "waiting", phase, event.at, event.text)


def age(since: float, now: float | None = None) -> str:
    """`42 s`, `12 min`, `3 h`, `5 d`; empty for never."""
    if not since:
        return ""
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"


def row(at: Where) -> Mapping[str, object]:
    """One line of `bmk status`."""
    return {
        "host": at.host,
        "state": at.state,
        "phase": at.phase,
        "for": age(at.since),
        "now": at.text,
        "since": at.since,
    }
