"""Where events go besides the journal: plain lines, versioned JSON lines; the live table is in `live_table.py`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import IO, Protocol

from bmk.journal.events import SCHEMA, Event
from bmk.journal.overview import totals
from bmk.journal.progress import HostState, step

_SUM_EVERY = 30.0  # seconds


class Sink(Protocol):
    """Takes events in the order of the journal, each once."""

    def take(self, event: Event) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line; the first says which schema follows, so that readers can refuse what they do not know."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._write({"type": "version", "schema": SCHEMA, "tool": "bmk"})

    def take(self, event: Event) -> None:
        self._write({"type": "event", **asdict(event)})

    def close(self) -> None:
        self._stream.flush()

    def _write(self, line: dict[str, object]) -> None:
        self._stream.write(json.dumps(line, default=str, sort_keys=True) + "\n")
        self._stream.flush()


class Lines:
    """One line per event, for logs and pipes. No debug events; image progress at most every 10 seconds."""

    def __init__(self, stream: IO[str], hosts: frozenset[str] | None = None) -> None:
        self._stream, self._hosts = stream, hosts
        self._told: dict[str, float] = {}

    def take(self, event: Event) -> None:
        if event.level == "debug" or not self._due(event):
            return
        self._stream.write(format_line(event) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()

    def _due(self, event: Event) -> bool:
        if self._hosts is not None and event.host is not None and event.host not in self._hosts:
            return False
        if event.kind != "image.progress" or event.host is None:
            return True
        if event.at - self._told.get(event.host, 0.0) < 10:
            return False
        self._told[event.host] = event.at
        return True


class ProgressLines:
    """One line every 30 seconds for a run of many hosts; beside it only errors and what concerns the whole run.

    A log with every event of two thousand hosts is read by nobody, and what failed is lost in it. The journal has all
    events (`bmk events`), and `--events FILE` writes them as they come.
    """

    def __init__(self, stream: IO[str], hosts: frozenset[str]) -> None:
        self._stream = stream
        self._states = dict.fromkeys(hosts, HostState())
        self._phases: dict[str, None] = {}
        self._summed, self._at, self._warnings = 0.0, 0.0, 0

    def take(self, event: Event) -> None:
        self._at = max(self._at, event.at)
        if event.host in self._states:
            state = self._states[event.host] = step(self._states[event.host], event)
            self._phases.setdefault(state.phase)
            self._warnings += event.level == "warning"
        if (event.host is None and event.level != "debug") or (event.host in self._states and event.level == "error"):
            self._write(format_line(event))
        if self._at - self._summed >= _SUM_EVERY:
            self._sum()

    def close(self) -> None:
        self._sum()

    def _sum(self) -> None:
        self._summed = self._at
        warnings = f", {self._warnings} warnings" if self._warnings else ""
        text = f"{totals(self._states.values(), self._phases)}{warnings}"
        self._write(format_line(Event("bmk", "run.progress", text, at=self._at)))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def format_line(event: Event) -> str:
    """`12:30:01 cp-1      imaging   agent  wrote 200 MB ...`, with a mark for warnings and errors."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    mark = {"warning": " !", "error": " X"}.get(event.level, "")
    text = event.text.replace("\n", "\n" + " " * 7 + "| ")
    return f"{clock} {event.host or '-':<12} {event.phase or '-':<10} {event.source:<8}{mark} {text}"
