"""A run of many hosts on one screen: how many are where, racks, who failed, who is slowest. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bmk.hostlist import compact
from bmk.journal.progress import HostState, line

MANY = 30  # hosts from which on a run is summed up: a row for each does not fit on most terminals
_TALL = 24  # lines of a terminal from which on each phase has its own
_RACK_LINES = 3
_RACKS_IN_LINE = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """Hosts by what they are at; each is counted once. `phases` are of those that are neither ready nor failed."""

    ready: int
    failed: int
    waiting: int  # nothing was begun
    phases: Mapping[str, int]  # the latest phase first

    def __str__(self) -> str:
        hosts = self.ready + self.failed + self.waiting + sum(self.phases.values())
        parts = [f"{self.ready} of {hosts} ready", f"{self.failed} failed"]
        parts += [f"{count} {phase}" for phase, count in self.phases.items()]
        return ", ".join([*parts, *([f"{self.waiting} not begun"] if self.waiting else [])])


def totals(states: Iterable[HostState], order: Iterable[str]) -> Totals:
    """`order`: phases as they come one after the other."""
    ends, phases, waiting = Counter[str](), Counter[str](), 0
    for state in states:
        ends[state.end] += 1
        waiting += not state.end and not state.phase
        phases[state.phase] += not state.end and bool(state.phase)
    latest = [*reversed(list(order))]
    return Totals(ends["ready"], ends["failed"], waiting, {p: phases[p] for p in latest if phases[p]})


def overview(
    states: Mapping[str, HostState], racks: Mapping[str, str], order: Iterable[str], now: float, height: int
) -> list[str]:
    """At most `height` lines (six at least), whatever the number of hosts. `racks`: of each host, by its name."""
    sums = totals(states.values(), order)
    busy = {name: state for name, state in states.items() if state.phase and not state.end}
    head = [str(sums)]
    if height >= _TALL:
        head += list(_phases(sums, busy, now))
    head += list(_racks(states, racks, _RACK_LINES if height >= _TALL else 1))
    room = max(2, height - len(head) - 2)
    failed = [name for name, state in states.items() if state.end == "failed"]
    bad = [f"  {name} in {states[name].phase}: {states[name].text}" for name in failed]
    bad = _cut(bad, room // 2, f"  and more: {compact(failed)}")
    slow = heapq.nsmallest(room - len(bad), busy, key=lambda name: busy[name].since)
    rows = [f"  {name} {busy[name].phase} {now - busy[name].since:.0f} s: {line(busy[name])}" for name in slow]
    parts = [*head, *(["failed:", *bad] if bad else []), *(["longest in their phase:", *rows] if rows else [])]
    return parts[:height]


def _phases(sums: Totals, busy: Mapping[str, HostState], now: float) -> Iterator[str]:
    oldest: dict[str, float] = {}
    for state in busy.values():
        oldest[state.phase] = min(state.since, oldest.get(state.phase, state.since))
    for phase, count in sums.phases.items():
        yield f"  {phase:<18} {count:>6}   for up to {now - oldest[phase]:.0f} s"


def _racks(states: Mapping[str, HostState], racks: Mapping[str, str], lines: int) -> Iterator[str]:
    """Racks that are not all ready, those with failed hosts first, then those with the most hosts to go."""
    hosts, ready, failed = Counter[str](), Counter[str](), Counter[str]()
    for name, state in states.items():
        rack = racks.get(name, "")
        hosts[rack] += 1
        ready[rack] += state.end == "ready"
        failed[rack] += state.end == "failed"
    open_ = sorted((r for r in hosts if r and ready[r] < hosts[r]), key=lambda r: (-failed[r], ready[r] - hosts[r], r))
    cells = [f"{r} {ready[r]}/{hosts[r]}" + (f" ({failed[r]} failed)" if failed[r] else "") for r in open_]
    most = lines * _RACKS_IN_LINE
    if len(cells) > most:
        cells = [*cells[: most - 1], f"and {len(cells) - most + 1} more"]
    for at in range(0, len(cells), _RACKS_IN_LINE):
        yield ("racks: " if at == 0 else "       ") + ", ".join(cells[at : at + _RACKS_IN_LINE])


def _cut(rows: list[str], most: int, rest: str) -> list[str]:
    return rows if len(rows) <= most else [*rows[: max(0, most - 1)], rest]
