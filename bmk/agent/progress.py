"""How far a write is, told often enough to watch and seldom enough to cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

INTERVAL = 1.5  # seconds between two reports


@dataclass
class Progress:
    """Give it absolute counts by `at`; it calls `tell` at most every INTERVAL seconds, and at the end."""

    tell: Callable[[dict[str, Any]], None]
    stage: str
    total: int | None  # bytes
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    _last: tuple[float, int] = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._last = (self.started, 0)

    def at(self, count: int) -> None:
        """`count` bytes are done. Told rates are of the time since the last report."""
        now = self.clock()
        if now - self._last[0] >= INTERVAL:
            self._report(now, count)

    def end(self, count: int) -> float:
        """Everything is done; returns the seconds it took."""
        now = self.clock()
        self._last = (self.started, 0)
        self._report(now, count)
        return round(now - self.started, 2)

    def _report(self, now: float, count: int) -> None:
        then, before = self._last
        rate = (count - before) / max(now - then, 1e-3)
        left = round((self.total - count) / rate, 1) if self.total and rate > 0 else None
        self._last = (now, count)
        told = {"stage": self.stage, "bytes": count, "total": self.total}
        self.tell({**told, "mb_per_s": round(rate / 1e6, 1), "seconds_left": left})


def text(told: dict[str, Any]) -> str:
    """A report in words."""
    done, total = told["bytes"] / 1e6, told["total"]
    of = f" of {total / 1e6:.0f} MB ({100 * told['bytes'] / total:.0f} %)" if total else " MB"
    return f"{told['stage']}: {done:.0f}{of} at {told['mb_per_s']} MB/s"


def nothing(_: dict[str, Any]) -> None:
    """For writes that nobody watches."""
