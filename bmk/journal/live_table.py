"""The live table on a terminal: one row per host with its phase, what it does, and for how long."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from bmk.journal.events import Event
from bmk.journal.progress import HostState, line, step

_COLOURS = {"": "", "ready": "green", "failed": "red"}


class LiveTable:
    """A sink. With more hosts than the terminal has lines, those that are done or have not begun are only counted."""

    def __init__(self, console: Console, hosts: Sequence[str]) -> None:
        self._states = {host: HostState() for host in hosts}
        self._console, self._started = console, time.time()
        self._live = Live(get_renderable=self.table, console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def take(self, event: Event) -> None:
        if event.host in self._states:
            self._states[event.host] = step(self._states[event.host], event)
        elif event.host is None and event.level in ("warning", "error"):
            self._console.print(event.text)

    def close(self) -> None:
        self._live.stop()

    def table(self) -> Table:
        """The rows as they are now."""
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
