"""What happened to one host, and what to think of it. Reads the journal only; the judgement is pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bmk.journal.backup_causes import BEGUN, backup_cause
from bmk.journal.cause_rule import Cause
from bmk.journal.causes import SINCE, drift_cause, likely_cause
from bmk.journal.events import Event
from bmk.journal.host_status import HostStatus, Projection, State
from bmk.journal.progress import HostState, line, step
from bmk.journal.rotation_causes import BEGUN as ROTATION_BEGUN
from bmk.journal.rotation_causes import KINDS as ROTATION_KINDS
from bmk.journal.rotation_causes import rotation_cause
from bmk.journal.store import Journal
from bmk.journal.timeline import newest_run

SCHEMA = 1  # of `bmk why -o json`

# Phases in which the installed system answers ssh.
_IN_THE_SYSTEM = ("configured", "joined", "verified", "ready", "evacuated", "upgraded", "readmitted")
_QUIET = 60.0  # seconds without an event after which a living run is worth a guess


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Events of one host, oldest first; where it is; a cause (and the next command) unless all is well."""

    host: str
    events: Sequence[Event]
    at: HostStatus
    cause: Cause | None

    @property
    def verdict(self) -> str:
        return _verdict(self.at)

    def as_dict(self) -> dict[str, Any]:
        """Without the timeline: that is made of `events`, by `timeline`."""
        cause = {"what": self.cause.what, "why": self.cause.why, "next": self.cause.hint} if self.cause else None
        at = {"state": self.at.state, "phase": self.at.phase or None, "since": self.at.since or None}
        return {"schema": SCHEMA, "host": self.host, "verdict": self.verdict, **at, "cause": cause}


def diagnose(journal: Journal | None, host: str, seen: Projection, *, everything: bool = False) -> Diagnosis:
    """The events of a host since its newest run began, and their cause; `everything`: all events."""
    events = journal.since(host=host) if journal is not None else []
    shown = events if everything else newest_run(events)
    return Diagnosis(host, shown, seen.status(host), find_cause(events, host, seen))


def diagnose_cluster(journal: Journal | None, cluster: str, dc: str) -> Diagnosis:
    """The events of a cluster since its newest backup or rotation of keys began, and why that did not come about.

    What failed or was interrupted comes first, a rotation before a backup; else what happened last.
    """
    events = journal.since(host=cluster) if journal is not None else []
    causes = {"rotation": rotation_cause(events, dc, cluster), "backup": backup_cause(events, dc, cluster)}
    newest = {"rotation": _newest(events, _of_rotation), "backup": _newest(events, lambda e: e.phase == "backup")}
    told = {name: event for name, event in newest.items() if event is not None}
    if not told:
        none = Cause("no backup was ever taken", "", f"bmk backup {dc} {cluster}")
        return Diagnosis(cluster, events, HostStatus(cluster, "new", "", 0.0, ""), none)
    name = next((n for n in told if causes[n]), max(told, key=lambda n: told[n].at))
    began = _newest(events, lambda e: e.kind == (BEGUN if name == "backup" else ROTATION_BEGUN))
    shown = [e for e in events if began is None or e.seq >= began.seq]
    state: State = "ready" if causes[name] is None else "failed"
    at = HostStatus(cluster, state, name, told[name].at, told[name].text)
    return Diagnosis(cluster, shown, at, causes[name])


def _of_rotation(event: Event) -> bool:
    return event.kind in ROTATION_KINDS


def _newest(events: Sequence[Event], wanted: Callable[[Event], bool]) -> Event | None:
    return next((e for e in reversed(events) if wanted(e)), None)


def find_cause(events: Sequence[Event], host: str, seen: Projection) -> Cause | None:
    """The cause of the trouble of a host and the next command, from its events; None when all is well."""
    at = seen.status(host)
    if at.state == "new":
        return Cause(_verdict(at), "", seen.again(at))
    if at.state == "failed":
        return _told(events, at, seen)
    if at.state == "interrupted":
        run = seen.newest[host].run
        return Cause("the run was interrupted", f"run {run} is over, nobody is at work", seen.again(at))
    if at.host in seen.alone and at.state == seen.alone[at.host].kind:
        return Cause(at.text, "", at.hint)
    return _running(events, at, seen) if at.state == "running" else drift_cause(events, seen.dc, host)


def _told(events: Sequence[Event], at: HostStatus, seen: Projection) -> Cause:
    """What was said when it failed, unless more is known. A hint that leads back here gives way to a better one."""
    hint = at.hint
    guess = likely_cause(at.phase, _since(events, at.phase), seen.dc, at.host, seen.now)
    if guess.sure:
        return guess
    if not hint or hint.startswith(("bmk why", "bmk status")):
        hint = _further(guess.hint, at, seen)
    return Cause(at.text, at.why, hint)


def _running(events: Sequence[Event], at: HostStatus, seen: Projection) -> Cause:
    since = _since(events, at.phase)
    if since and seen.now - since[-1].at < _QUIET:
        state = HostState()
        for event in since:
            state = step(state, event)
        return Cause("it is on its way", line(state), f"bmk status {seen.dc} --watch")
    guess = likely_cause(at.phase, since, seen.dc, at.host, seen.now)
    return replace(guess, hint=_further(guess.hint, at, seen))


def _further(hint: str, at: HostStatus, seen: Projection) -> str:
    if hint and not hint.startswith("bmk why"):
        return hint
    look = "ssh" if at.phase in _IN_THE_SYSTEM else "console"
    return f"bmk {look} {seen.dc} {at.host} to look; when it is corrected: {seen.again(at)}"


def _since(events: Sequence[Event], phase: str) -> Sequence[Event]:
    """What tells about a phase: events since it, or the one that it builds on, last began."""
    wanted = SINCE.get(phase, phase)
    starts = [i for i, e in enumerate(events) if e.kind == "phase.started" and e.phase in (wanted, phase)]
    first = [i for i in starts if events[i].phase == wanted] or starts
    return events[first[-1] :] if first else events


def _verdict(at: HostStatus) -> str:
    words = {
        "new": at.text if at.since else "nothing was done with it yet",
        "ready": {"backup": "proven", "rotation": "its encryption key was rotated"}.get(at.phase, "ready"),
        "failed": f"failed in {at.phase or 'the beginning'}",
        "maintenance": "in maintenance",
        "removed": "removed",
        "reset": "its cluster is being reset",
        "interrupted": f"interrupted in {at.phase}",
    }
    return words.get(at.state, f"in {at.phase}, not over yet")
