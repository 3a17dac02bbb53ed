"""Who is next where only so many fit."""

from __future__ import annotations

import asyncio

from bmk.engine.priority_semaphore import PrioritySemaphore


def test_whoever_is_furthest_goes_first() -> None:
    """Of those who wait the one with the most progress gets the next place; equals go in the order of their coming."""

    async def run() -> list[str]:
        turns, order = PrioritySemaphore(1), list[str]()

        async def come(name: str, progress: int) -> None:
            await turns.take(progress)
            async with turns.turn():
                order.append(name)

        await turns.take(0)
        waiting = [asyncio.create_task(come(name, n)) for name, n in (("a", 0), ("b", 0), ("c", 2), ("d", 1))]
        await asyncio.sleep(0)
        async with turns.turn():
            pass
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(run()) == ["c", "d", "a", "b"]


def test_no_place_is_lost_when_a_waiting_one_is_cancelled() -> None:
    """A host that is given up while it waits, or while it gets its place, leaves the place to others."""

    async def run() -> bool:
        turns = PrioritySemaphore(1)
        await turns.take(0)
        early, late = asyncio.create_task(turns.take(2)), asyncio.create_task(turns.take(1))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.gather(early, return_exceptions=True)
        async with turns.turn():
            pass
        late.cancel()  # its place was given and it has not run yet
        await asyncio.gather(late, return_exceptions=True)
        return turns.full

    assert not asyncio.run(run())
