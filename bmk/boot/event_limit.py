"""A limit on events that unauthenticated requests cause: repetitions are counted instead of journaled."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Subject = TypeVar("Subject", bound=Hashable)

PERIOD = 60.0  # seconds
MOST = 30  # different texts of one subject that are journaled in a period


@dataclass(slots=True)
class _Seen:
    since: float
    admitted: set[Hashable] = field(default_factory=set)
    suppressed: int = 0


@dataclass(slots=True)
class EventLimit(Generic[Subject]):
    """Admits each text of a subject once in a period, and at most `most` texts; the rest is counted. A subject is a
    host, or one for all unknown machines, so that invented names take no memory.
    """

    most: int = MOST
    period: float = PERIOD
    _seen: dict[Subject, _Seen] = field(default_factory=dict)

    def admits(self, subject: Subject, thing: Hashable, now: float) -> bool:
        """Whether to journal it. `now` in seconds, on any clock that goes forward."""
        seen = self._seen.setdefault(subject, _Seen(now))
        if thing in seen.admitted or len(seen.admitted) >= self.most:
            seen.suppressed += 1
            return False
        seen.admitted.add(thing)
        return True

    def roll_over(self, now: float) -> list[tuple[Subject, int]]:
        """Begin a new period for each subject whose period is over; how much was suppressed, where anything was."""
        over = {subject: seen for subject, seen in self._seen.items() if now - seen.since >= self.period}
        for subject in over:
            del self._seen[subject]
        return [(subject, seen.suppressed) for subject, seen in over.items() if seen.suppressed]
