"""Whether a thread may still change a machine or a cluster.

A deadline cancels the task that waits for a blocking call; the thread that makes the call goes on. Without a check it
could power-cycle a machine minutes later, while the next run is at work on it. So each call of a run has a permit that
ends with it, below the permit of the run, which also asks the run's lock; whatever sends a request that changes
something calls `demand` directly before. Threads get the permit by the context that they are started with
(`contextvars.copy_context`, `asyncio.to_thread`). Commands that have no runs have no permit, and may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bmk.errors import Revoked

_current: ContextVar[Permit | None] = ContextVar("permit", default=None)


class Permit:
    """Counts until it is revoked or the one above it is. `check` raises when something else forbids changes."""

    def __init__(self, above: Permit | None, check: Callable[[], None] | None) -> None:
        self._above, self._check = above, check
        self._revoked = False

    @property
    def revoked(self) -> bool:
        return self._revoked or (self._above is not None and self._above.revoked)

    def revoke(self) -> None:
        """For good, from any thread."""
        self._revoked = True

    def demand(self) -> None:
        """Raise Revoked, or what a `check` raises, unless changes are permitted now."""
        if self.revoked:
            raise Revoked(
                "nothing was changed: what asked for this was cancelled",
                why="its deadline passed, or its run is over",
                hint="run the same command again",
            )
        if self._check is not None:
            self._check()
        if self._above is not None:
            self._above.demand()


def demand() -> None:
    """Raise unless this thread may change something outside now."""
    permit = _current.get()
    if permit is not None:
        permit.demand()


@contextmanager
def permitted(check: Callable[[], None] | None = None) -> Iterator[Permit]:
    """Changes are permitted within this block, unless they are forbidden around it; not any more when it was left."""
    permit = Permit(_current.get(), check)
    token = _current.set(permit)
    try:
        yield permit
    finally:
        permit.revoke()
        _current.reset(token)


@contextmanager
def unrestricted() -> Iterator[None]:
    """For what is done at the end whatever happened, and changes no machine: logging out."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
