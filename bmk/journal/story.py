"""What happened to one host, and what to think of it. Reads the journal only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bmk.journal.causes import Cause, likely_cause
from bmk.journal.events import Event
from bmk.journal.store import Journal

_OVER = ("phase.failed", "phase.finished", "phase.started", "host.ready")


@dataclass(frozen=True, slots=True)
class Story:
    """Events of one host, oldest first; a verdict in words; a cause when something is wrong or takes long."""

    host: str
    events: Sequence[Event]
    verdict: str
    cause: Cause | None

    def as_dict(self) -> dict[str, Any]:
        cause = asdict(self.cause) if self.cause else None
        return {"host": self.host, "verdict": self.verdict, "cause": cause, "events": [asdict(e) for e in self.events]}


def tell(journal: Journal, dc: str, host: str, now: float, *, everything: bool = False) -> Story:
    """The story of a host since its newest run began; `everything`: since ever, with debug events."""
    events = journal.since(host=host)
    verdict, cause = judge(events, dc, host, now)
    if not everything:
        events = [e for e in _newest_run(events) if e.level != "debug"]
    return Story(host, events, verdict, cause)


def judge(events: Sequence[Event], dc: str, host: str, now: float) -> tuple[str, Cause | None]:
    """Verdict and cause from all events of a host. Pure."""
    last = next((e for e in reversed(events) if e.kind in _OVER), None)
    if last is None:
        return "nothing was done with it yet", Cause("not registered yet", "", f"bmk provision {dc}")
    if last.kind == "phase.failed":
        said = last.data
        return f"failed in {last.phase or 'the beginning'}", Cause(
            str(said.get("what") or last.text), str(said.get("why") or ""), str(said.get("hint") or "")
        )
    if last.kind == "host.ready" or last.phase == "ready":
        return "ready", None
    began = next((i for i, e in enumerate(reversed(events)) if e.kind == "phase.started"), 0)
    since = events[len(events) - 1 - began :]
    return f"in {last.phase}, not over yet", likely_cause(last.phase or "", since, dc, host, now)


def _newest_run(events: Sequence[Event]) -> list[Event]:
    """From the first event of the newest run on: earlier runs are over."""
    run = next((e.run for e in reversed(events) if e.run), None)
    start = next((i for i, e in enumerate(events) if e.run == run), 0) if run else 0
    return list(events[start:])
