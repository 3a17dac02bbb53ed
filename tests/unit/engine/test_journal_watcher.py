"""The reader of a run: what is written anywhere reaches the sinks, at once when this process wrote it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from bmk.engine.journal_watcher import JournalWatcher
from bmk.journal import Event, Journal

MANY = 3600.0  # seconds: a poll that no test waits for


class Told:
    """A sink that rings when it got an event."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def take(self, event: Event) -> None:
        self.came.set()

    def close(self) -> None: ...


def test_an_event_of_another_thread_is_seen_at_once(tmp_path: Path) -> None:
    """Worker threads write events, too: the loop is woken for them and does not sleep until its next poll."""
    journal = Journal.open(tmp_path)

    async def look() -> None:
        told = Told()
        watcher = JournalWatcher(journal, [told], poll=MANY)
        following = asyncio.create_task(watcher.follow())
        await asyncio.sleep(0)  # it has read once and waits

        def write() -> None:
            journal.append(Event("bmk", "x.y", "it"))
            watcher.wake()

        thread = threading.Thread(target=write)
        thread.start()
        async with asyncio.timeout(30):
            await told.came.wait()
        thread.join()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        watcher.wake()  # late threads do no harm

    asyncio.run(look())
