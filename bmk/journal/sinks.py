"""Where events go besides the journal: plain lines, versioned JSON lines; the live table is in `console.py`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import IO, Protocol

from bmk.journal.events import SCHEMA, Event


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


def format_line(event: Event) -> str:
    """`12:30:01 cp-1      imaging   agent  wrote 200 MB ...`, with a mark for warnings and errors."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    mark = {"warning": " !", "error": " X"}.get(event.level, "")
    text = event.text.replace("\n", "\n" + " " * 7 + "| ")
    return f"{clock} {event.host or '-':<12} {event.phase or '-':<10} {event.source:<8}{mark} {text}"
