"""Turns at something that bears only so many at a time; of those who wait, whoever is furthest goes first.

That keeps a large run deep instead of broad: the first machines boot while the last ones have not been spoken to.
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
        """Whether who comes now has to wait."""
        return self._free <= 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a place that `take` has given, and give it on."""
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
