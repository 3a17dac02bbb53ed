"""Semaphore; of the waiters the one with the highest progress (completed phases) goes next.

A large run works on few hosts at a time that way: the first machines boot before the BMCs of the last ones are asked.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class PrioritySemaphore:
    """`places` at a time, all in one event loop."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    @property
    def full(self) -> bool:
        """Whether a caller would have to wait now."""
        return self._free <= 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a place that `take` has given; release it at the end."""
        try:
            yield
        finally:
            self._give()

    async def take(self, progress: int) -> None:
        """Wait for a place; of all who wait, the highest `progress` gets the next one."""
        if not self.full:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-progress, next(self._order), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given in the same moment
                self._give()
            raise

    def _give(self) -> None:
        while self._waiting:
            place = heapq.heappop(self._waiting)[2]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
