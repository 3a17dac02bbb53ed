"""Events of one host as a timeline that a person reads: repetition is folded, what has no phase gets that of its time.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bmk.journal.events import Event
from bmk.journal.progress import HostState, line, step

_NEAR = 8  # rows to look back for the same thing: a machine that asks again and again repeats a handful of lines
_Key = tuple[str, str, str, str] | None
_LOCAL = ("phase.failed", "phase.again")  # their further lines are told once, as the cause


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One row. `at` and `last` in seconds since the epoch: first and newest time of `count` equal events."""

    at: float
    last: float
    count: int
    source: str
    phase: str | None
    kind: str
    level: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def timeline(events: Iterable[Event], *, debug: bool = False) -> list[TimelineEntry]:
    """Rows in the order of their first event. Debug events are left out unless `debug`."""
    rows: list[tuple[_Key, TimelineEntry]] = []
    phase: str | None = None
    image = HostState()
    for event in events:
        phase = event.phase or phase
        image = step(image, event)
        if event.level != "debug" or debug:
            _add(rows, _entry(event, phase, image), image)
    return [entry for _, entry in rows]


def newest_run(events: Sequence[Event]) -> list[Event]:
    """From the first event of the newest run on: earlier runs are over."""
    run = next((e.run for e in reversed(events) if e.run), None)  # looks of drift belong to none
    start = next((i for i, e in enumerate(events) if e.run == run), 0) if run else 0
    return list(events[start:])


def _entry(event: Event, phase: str | None, image: HostState) -> TimelineEntry:
    text = event.text
    if event.kind == "image.progress":
        text = line(image)
    elif event.kind in _LOCAL:
        text = text.split("\n")[0]
    return TimelineEntry(event.at, event.at, 1, event.source, phase, event.kind, event.level, text)


def _add(rows: list[tuple[_Key, TimelineEntry]], new: TimelineEntry, image: HostState) -> None:
    key = _key(new, image)
    for index in range(len(rows) - 1, max(-1, len(rows) - 1 - _NEAR), -1):
        other, row = rows[index]
        if key == other and key is not None:
            rows[index] = key, replace(row, last=new.at, count=row.count + 1, text=new.text)
            return
        if other is None:
            break  # a phase began or ended here: what comes after it is told anew
    rows.append((key, new))


def _key(entry: TimelineEntry, state: HostState) -> _Key:
    """What makes two events the same; None for those that are told each time."""
    if entry.kind.startswith(("phase.", "host.")):
        return None
    same = state.image.stage if entry.kind == "image.progress" and state.image else entry.text
    return entry.kind, entry.source, entry.level, same
