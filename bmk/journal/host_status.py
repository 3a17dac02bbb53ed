"""Where each host is, told from the journal alone; no machine is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from bmk.journal.events import MACHINES, Event
from bmk.journal.installation import proven_hosts
from bmk.journal.progress import HostState, ImageProgress, line, step
from bmk.journal.store import Journal

State = Literal["new", "running", "failed", "interrupted", "ready"]
STATES: tuple[State, ...] = ("new", "running", "failed", "interrupted", "ready")

WAY = ("phase.started", "phase.finished", "phase.failed", "host.ready", "host.forgotten")


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host. `since` in seconds since the epoch; 0 for a host that nothing is known of.

    `text` is what it does or died of, `why` and `hint` (the next command) what is known about a failure.
    """

    host: str
    state: State
    phase: str
    since: float
    text: str
    why: str = ""
    hint: str = ""
    image: ImageProgress | None = None


def statuses(journal: Journal | None, hosts: Sequence[str], live_run: str | None, again: str) -> list[HostStatus]:
    """Where these hosts are, in their order. `live_run` holds the lock now; `again` is the command that continues."""
    if journal is None:
        return [replace(status_of(host, None, None), hint=again) for host in hosts]
    events, good = newest(journal), proven_hosts(journal)
    found = [status_of(host, events.get(host), live_run, proven=host in good) for host in hosts]
    return [_completed(journal, at, events.get(at.host), again) for at in found]


def newest(journal: Journal) -> dict[str, Event]:
    """The newest event of its way, for every host that has one. No machine says of itself how far it is."""
    return journal.newest_of_hosts(WAY, MACHINES)


def status_of(host: str, event: Event | None, live_run: str | None, *, proven: bool = False) -> HostStatus:
    """Where a host is. `proven`: its cluster was proven to work since it was installed.

    What another run than the living one began is interrupted; a run that had little to do ends without a new proof.
    """
    if event is None or event.kind == "host.forgotten":
        return HostStatus(host, "new", "", event.at if event else 0.0, event.text if event else "not registered yet")
    phase, finished = event.phase or "", event.kind == "phase.finished"
    proven_now = proven and event.run != live_run
    if event.kind == "host.ready" or (finished and (proven_now or phase == "ready")):
        return HostStatus(host, "ready", "ready", event.at, "")
    if event.kind == "phase.failed":
        data = event.data
        what, why, hint = (str(data.get(key) or "") for key in ("what", "why", "hint"))
        return HostStatus(host, "failed", phase, event.at, what or event.text, why, hint)
    if event.run != live_run:
        return HostStatus(host, "interrupted", phase, event.at, event.text)
    return HostStatus(host, "running", phase, event.at, event.text)


def _completed(journal: Journal, at: HostStatus, event: Event | None, again: str) -> HostStatus:
    """With what a host does right now, and with the next command of one that nobody is at work on."""
    if at.state == "running" and event is not None:
        state = reduce(step, journal.since(event.seq - 1, host=at.host), HostState())
        return replace(at, text=line(state), image=state.image)
    return replace(at, hint=at.hint or again) if at.state in ("new", "interrupted", "failed") else at


def age(since: float, now: float | None = None) -> str:
    """`42 s`, `12 min`, `3 h`, `5 d`; empty for never."""
    if not since:
        return ""
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"
