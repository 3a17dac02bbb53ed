"""Threads that outlive what they were started for change nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from bmk.datacenter.resolve import DataCenter
from bmk.engine.batches import Batches
from bmk.engine.journal_watcher import JournalWatcher
from bmk.engine.lock import RunLock
from bmk.engine.rollout import Disruptions, Rollout
from bmk.engine.run import Run
from bmk.errors import LockHeld, Revoked
from bmk.journal import Journal
from bmk.permit import demand, permitted, unrestricted


@pytest.fixture
def run(ha: DataCenter, tmp_path: Path) -> Run:
    journal = Journal.open(tmp_path)
    pool = ThreadPoolExecutor(2)
    turns = Disruptions({"lab-ha": Rollout()})
    return Run("r1", ha, journal, cast(Any, None), JournalWatcher(journal), Batches(0.01), pool, turns)


class Order:
    """A blocking call that takes long before it changes something. `sent`: what it has changed."""

    def __init__(self) -> None:
        self.began, self.goes_on = threading.Event(), threading.Event()
        self.sent: list[str] = []
        self.refused: Exception | None = None

    def __call__(self) -> None:
        self.began.set()
        self.goes_on.wait(60)
        try:
            demand()
            self.sent.append("power off")
        except Exception as error:
            self.refused = error
            raise


async def started(run: Run, order: Callable[[], None], began: threading.Event) -> asyncio.Task[None]:
    task = asyncio.create_task(run.call(order))
    await asyncio.to_thread(began.wait, 60)
    return task


def test_an_order_after_its_deadline_is_not_sent(run: Run) -> None:
    """The await is cancelled, the thread goes on, and what it is about to send is refused."""
    order = Order()

    async def deadline() -> None:
        task = await started(run, order, order.began)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(deadline())
    order.goes_on.set()
    run.pool.shutdown(wait=True)
    assert order.sent == []
    assert isinstance(order.refused, Revoked)


def test_an_order_within_its_deadline_is_sent(run: Run) -> None:
    """Nothing is refused of a call that somebody waits for, also after another one was cancelled."""
    late, good = Order(), Order()

    async def both() -> None:
        task = await started(run, late, late.began)
        task.cancel()
        good.goes_on.set()
        await run.call(good)

    asyncio.run(both())
    late.goes_on.set()
    run.pool.shutdown(wait=True)
    assert (late.sent, good.sent) == ([], ["power off"])


def test_the_end_of_a_run_reaches_its_threads(run: Run) -> None:
    """What is left behind by a run that is over is refused, whoever started it."""
    order = Order()

    async def whole() -> asyncio.Task[None]:
        with permitted():
            return await started(run, order, order.began)

    async def left_behind() -> None:
        task = await whole()
        order.goes_on.set()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(left_behind())
    assert order.sent == []
    assert isinstance(order.refused, Revoked)


def test_a_run_whose_lock_was_taken_sends_nothing_any_more(run: Run) -> None:
    """The lock is asked before each change: from the moment at which another run has it, all is refused."""
    first, second = Order(), Order()
    first.goes_on.set()
    second.goes_on.set()

    async def robbed(lock: RunLock) -> None:
        with permitted(lock.check):
            await run.call(first)
            with Journal.open(run.journal.state).transaction() as db:
                db.execute("UPDATE leases SET owner = 'eve@other pid 1', fence = fence + 1 WHERE name = 'run'")
            await run.call(second)

    with RunLock(run.journal, run.id) as lock, pytest.raises(LockHeld, match="another run took the lock"):
        asyncio.run(robbed(lock))
    assert (first.sent, second.sent) == (["power off"], [])


def test_logging_out_needs_no_permit() -> None:
    """A session at a BMC is ended for a cancelled call as well; commands without runs need no permit at all."""
    demand()
    with permitted() as permit:
        permit.revoke()
        with pytest.raises(Revoked):
            demand()
        with unrestricted():
            demand()
