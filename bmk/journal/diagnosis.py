"""What happened to one host, and what to think of it. Reads the journal only; the judgement is pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bmk.journal.causes import SINCE, Cause, drift_cause, likely_cause
from bmk.journal.events import MACHINES, Event
from bmk.journal.host_status import WAY, HostStatus, status_of
from bmk.journal.progress import HostState, line, step
from bmk.journal.store import Journal
from bmk.journal.timeline import newest_run

SCHEMA = 1  # of `bmk why -o json`

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


@dataclass(frozen=True, slots=True)
class Question:
    """Whose story, and when. `dc` as the user typed it; `live_run` holds the lock now; `now` in seconds."""

    dc: str
    host: str
    now: float
    live_run: str | None = None
    proven: bool = False


def diagnose(journal: Journal | None, case: Question, *, everything: bool = False) -> Diagnosis:
    """The story of a host since its newest run began; `everything`: since ever."""
    events = journal.since(host=case.host) if journal is not None else []
    at, cause = conclude(events, case)
    return Diagnosis(case.host, events if everything else newest_run(events), at, cause)


def conclude(events: Sequence[Event], case: Question) -> tuple[HostStatus, Cause | None]:
    """Where a host is, and the cause of its trouble, from all its events."""
    at = status_of(case.host, _last(events, *WAY), case.live_run, proven=case.proven)
    return at, _cause(events, at, case)


def _cause(events: Sequence[Event], at: HostStatus, case: Question) -> Cause | None:
    again = f"bmk provision {case.dc}"
    if at.state == "new":
        return Cause(_verdict(at), "", again)
    if at.state == "failed":
        return _told(events, at, case)
    if at.state == "interrupted":
        run = _last(events, *WAY)
        return Cause("the run was interrupted", f"run {run.run if run else None} is over, nobody is at work", again)
    return _running(events, at, case) if at.state == "running" else drift_cause(events, case.dc, case.host)


def _told(events: Sequence[Event], at: HostStatus, case: Question) -> Cause:
    """What was said when it failed, unless more is known. A hint that leads back here gives way to a better one."""
    hint = at.hint
    guess = likely_cause(at.phase, _since(events, at.phase), case.dc, case.host, case.now)
    if guess.sure:
        return guess
    if not hint or hint.startswith(("bmk why", "bmk status")):
        hint = _onward(guess.hint, at.phase, case)
    return Cause(at.text, at.why, hint)


def _running(events: Sequence[Event], at: HostStatus, case: Question) -> Cause:
    since = _since(events, at.phase)
    if since and case.now - since[-1].at < _QUIET:
        state = HostState()
        for event in since:
            state = step(state, event)
        return Cause("it is on its way", line(state), f"bmk status {case.dc} --watch")
    guess = likely_cause(at.phase, since, case.dc, case.host, case.now)
    return replace(guess, hint=_onward(guess.hint, at.phase, case))


def _onward(hint: str, phase: str, case: Question) -> str:
    if hint and not hint.startswith("bmk why"):
        return hint
    look = "ssh" if phase in ("configured", "joined", "verified", "ready") else "console"
    return f"bmk {look} {case.dc} {case.host} to look; when it is corrected: bmk provision {case.dc}"


def _since(events: Sequence[Event], phase: str) -> Sequence[Event]:
    """What tells about a phase: events since it, or the one that it builds on, last began."""
    wanted = SINCE.get(phase, phase)
    starts = [i for i, e in enumerate(events) if e.kind == "phase.started" and e.phase in (wanted, phase)]
    first = [i for i in starts if events[i].phase == wanted] or starts
    return events[first[-1] :] if first else events


def _last(events: Sequence[Event], *kinds: str) -> Event | None:
    return next((e for e in reversed(events) if e.kind in kinds and e.source not in MACHINES), None)


def _verdict(at: HostStatus) -> str:
    words = {
        "new": at.text if at.since else "nothing was done with it yet",
        "ready": "ready",
        "failed": f"failed in {at.phase or 'the beginning'}",
        "interrupted": f"interrupted in {at.phase}",
    }
    return words.get(at.state, f"in {at.phase}, not over yet")
