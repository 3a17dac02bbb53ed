"""Where each host is, told from the journal alone; no machine is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

from bmk.journal.events import MACHINES, Event
from bmk.journal.installation import proven_hosts
from bmk.journal.left_alone import LeftAlone, left_alone
from bmk.journal.progress import HostState, ImageProgress, line, step
from bmk.journal.records import UpgradeRecord
from bmk.journal.store import Journal

State = Literal["new", "running", "failed", "interrupted", "maintenance", "removed", "reset", "ready"]
STATES: tuple[State, ...] = (
    *("new", "running", "failed", "interrupted"),
    *("maintenance", "removed", "reset", "ready"),
)

RENEWING = (
    "urgent_renewed",
    "certificates_renewed",
    "credentials_renewed",
)  # phases of `bmk certs renew`
GOING = ("drained", "shut_down")  # phases of `bmk maintenance on`
RESTS = {"maintenance": "shut_down", "removed": "retired"}  # the last phase of what leaves a host alone, by its kind
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


@dataclass(frozen=True, slots=True)
class Projection:
    """What the journal says of all hosts at one moment: `bmk status`, `bmk why` and the page show it, each its part.

    `dc` as the user typed it; `now` in seconds since the epoch; `live_run` holds the lock now. `newest` is the event
    that tells where a host is; `proven` are hosts whose cluster was proven to work since they were installed; `alone`
    those that most actions leave alone; `upgrading`: hosts with the cluster whose upgrade they still have before them.
    """

    dc: str
    now: float
    live_run: str | None = None
    newest: Mapping[str, Event] = field(default_factory=dict)
    proven: Set[str] = frozenset()
    alone: Mapping[str, LeftAlone] = field(default_factory=dict)
    upgrading: Mapping[str, str] = field(default_factory=dict)

    def again(self, at: HostStatus) -> str:
        """The command that continues a host that stopped where it is."""
        alone = self.alone.get(at.host)
        if alone is not None and alone.kind == "maintenance" and at.phase in GOING:
            return f"bmk maintenance {self.dc} {at.host} on"
        if alone is not None:
            return alone.next
        if at.host in self.upgrading:
            return f"bmk upgrade {self.dc} {self.upgrading[at.host]}"
        return f"bmk certs renew {self.dc}" if at.phase in RENEWING else f"bmk provision {self.dc}"

    def status(self, host: str) -> HostStatus:
        newest, alone = self.newest.get(host), self.alone.get(host)
        if alone is not None and alone.kind != "upgrade" and _rests(newest, alone):
            return HostStatus(host, alone.kind, alone.kind, alone.since, alone.why, hint=alone.next)
        return status_of(host, newest, self.live_run, proven=host in self.proven)


def project(journal: Journal | None, dc: str, live_run: str | None) -> Projection:
    """Read the projection. No machine says of itself how far it is."""
    if journal is None:
        return Projection(dc, time.time())
    newest = journal.newest_of_hosts(WAY, MACHINES)
    under_way = UpgradeRecord.load_all(journal).items()
    upgrading = {host: cluster for cluster, known in under_way for host in known.waiting}
    proven, alone = proven_hosts(journal), left_alone(journal, dc)
    return Projection(dc, time.time(), live_run, newest, proven, alone, upgrading)


def statuses(journal: Journal | None, hosts: Sequence[str], seen: Projection) -> list[HostStatus]:
    """Where these hosts are, in their order, with what they do right now and the next command."""
    return [_completed(journal, seen.status(host), seen) for host in hosts]


def _rests(newest: Event | None, alone: LeftAlone) -> bool:
    """Whether nothing was begun since that is not over: it is where it should be."""
    if newest is None or newest.at < alone.since:
        return True
    return newest.kind == "phase.finished" and newest.phase == RESTS.get(alone.kind)


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


def _completed(journal: Journal | None, at: HostStatus, seen: Projection) -> HostStatus:
    """With what a host does right now, and with the next command of one that nobody is at work on."""
    event = seen.newest.get(at.host)
    if at.state == "running" and event is not None and journal is not None:
        state = reduce(step, journal.since(event.seq - 1, host=at.host), HostState())
        return replace(at, text=line(state), image=state.image)
    return replace(at, hint=at.hint or seen.again(at)) if at.state in ("new", "interrupted", "failed") else at


def age(since: float, now: float | None = None) -> str:
    """`42 s`, `12 min`, `3 h`, `5 d`; empty for never."""
    if not since:
        return ""
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"
