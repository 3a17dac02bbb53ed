"""Writes the boot service's events in one thread: those of requests that arrive together share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bmk.journal import Event, Journal

T = TypeVar("T")


class JournalWriter:
    """One writer thread for one journal. An event is stored when `tell` returns."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def tell(self, event: Event) -> None:
        """Store an event; those that arrive while the thread is busy are stored together."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._waiting.append((event, stored))
        if self._writer is None:
            self._writer = loop.create_task(self._write())
        await stored

    async def run(self, work: Callable[[Journal], T]) -> T:
        """Do something with the journal in the writer's thread, in turn with the events."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._journal)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._journal.close()

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure: Exception | None = None
            try:
                await self.run(lambda journal, events=[e for e, _ in batch]: journal.extend(events))  # type: ignore[misc]  # mypy: default
            except Exception as error:
                failure = error
            _settle([stored for _, stored in batch], failure)
        self._writer = None


def _settle(waiting: list[asyncio.Future[None]], failure: Exception | None) -> None:
    for stored in waiting:
        if stored.done():
            continue
        if failure is None:
            stored.set_result(None)
        else:
            stored.set_exception(failure)
