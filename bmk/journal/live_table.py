"""The live table on a terminal: one row per host with its phase, what it does, and for how long; many are summed up."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from bmk.journal.events import Event
from bmk.journal.overview import MANY, overview
from bmk.journal.progress import HostState, line, step

_COLOURS = {"": "", "ready": "green", "failed": "red"}


class LiveTable:
    """A sink. `racks`: the rack of each host, by its name.

    From MANY hosts on there is an overview of the terminal's height instead of a row for each: a terminal is written
    anew four times a second, and two thousand rows can neither be written so often nor read.
    """

    def __init__(self, console: Console, racks: Mapping[str, str]) -> None:
        self._racks, self._states = racks, {host: HostState() for host in racks}
        self._phases: dict[str, None] = {}  # as they were first entered, which is their order
        self._console, self._started = console, time.time()
        self._live = Live(get_renderable=self.table, console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def take(self, event: Event) -> None:
        if event.host in self._states:
            state = self._states[event.host] = step(self._states[event.host], event)
            self._phases.setdefault(state.phase)
        elif event.host is None and event.level in ("warning", "error"):
            self._console.print(event.text)

    def close(self) -> None:
        self._live.stop()

    def table(self) -> RenderableType:
        """What is shown now."""
        return self._rows() if len(self._states) < MANY else self._overview()

    def _overview(self) -> Text:
        height, now = self._console.size.height - 1, time.time()
        seconds = f"{now - self._started:.0f} s"
        first, *rest = overview(self._states, self._racks, self._phases, now, height)
        return Text("\n".join([f"{first}, {seconds}", *rest]), no_wrap=True, overflow="ellipsis")

    def _rows(self) -> Table:
        now = Column("now", no_wrap=True, overflow="ellipsis")  # one line a host, or the table grows out of the screen
        table = Table("host", "phase", "for", now, box=None, pad_edge=False, header_style="bold")
        room = max(3, self._console.size.height - 4)
        rows = self._busy_first()
        for host, state in rows[:room]:
            seconds = f"{time.time() - state.since:.0f} s" if state.since and not state.end else ""
            table.add_row(host, state.end or state.phase, seconds, Text(line(state)), style=_COLOURS[state.end])
        table.caption = self._sums(len(rows) - room)
        return table

    def _busy_first(self) -> list[tuple[str, HostState]]:
        if len(self._states) < self._console.size.height - 4:
            return list(self._states.items())
        return sorted(self._states.items(), key=lambda item: (item[1].end == "ready", item[1].phase == ""))

    def _sums(self, hidden: int) -> str:
        ends = [s.end for s in self._states.values()]
        parts = [f"{ends.count('ready')} of {len(ends)} ready", f"{ends.count('failed')} failed"]
        if hidden > 0:
            parts.append(f"{hidden} not shown")
        return ", ".join(parts) + f", {time.time() - self._started:.0f} s"
