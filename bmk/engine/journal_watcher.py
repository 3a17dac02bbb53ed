"""One reader of the journal per run: feeds the sinks and wakes the hosts that wait for something to happen."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from bmk.journal import Journal
from bmk.journal.sinks import Sink

T = TypeVar("T")


class HostSilent(TimeoutError):
    """A host had no event for longer than it may."""


class JournalWatcher:
    """Tails the journal from `start` on. Other processes (boot service, lab) write to it too, so it is polled."""

    def __init__(self, journal: Journal, sinks: Sequence[Sink] = (), poll: float = 0.2) -> None:
        self._journal, self._sinks, self._poll = journal, sinks, poll
        self._seq = journal.last_seq()
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # of `follow`

    async def follow(self) -> None:
        """Runs until cancelled; then hands the sinks what is left."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._drain()
                self._wake.clear()
                await _set_within(self._wake, self._poll)
        finally:
            self._loop = None
            self._drain()

    def wake(self) -> None:
        """There is something new: do not wait for the next poll. From any thread: asyncio.Event is safe in one only."""
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # closed: the run is over
                loop.call_soon_threadsafe(self._wake.set)

    async def until(self, host: str, look: Callable[[], T | None], idle: float | None = None) -> T:
        """Wait until `look()` is not None, asking again after each event of the host and at least every 5 seconds."""
        loop = asyncio.get_running_loop()
        quiet_since, bell = loop.time(), asyncio.Event()
        self._waiting[host].add(bell)
        try:
            while (found := look()) is None:
                if await _set_within(bell, _next_look(idle, quiet_since, loop.time())):
                    quiet_since = loop.time()
                elif idle is not None and loop.time() - quiet_since >= idle:
                    raise HostSilent
                bell.clear()
        finally:
            self._waiting[host].discard(bell)
        return found

    def _drain(self) -> None:
        events = self._journal.since(self._seq)
        for event in events:
            self._seq = event.seq
            for sink in self._sinks:
                sink.take(event)
        for host in {e.host for e in events if e.host}:
            for bell in self._waiting.get(host, ()):
                bell.set()


def _next_look(idle: float | None, quiet_since: float, now: float) -> float:
    return 5.0 if idle is None else max(0.0, min(5.0, quiet_since + idle - now))


async def _set_within(bell: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):  # wait_for would swallow a cancel that comes together with the bell
            await bell.wait()
    except TimeoutError:
        return False
    return True
