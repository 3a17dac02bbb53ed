"""Batches: hosts that reach the same step within a short window share one run of it.

One run of ansible-runner costs as much for one host as for fifty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[tuple[str, ...]], Awaitable[Mapping[str, Any]]]


@dataclass(slots=True)
class _Queue:
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    seconds: float | None = None  # as long as the most patient of those who wait allows; None: no deadline
    arrival: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    task: asyncio.Task[None] | None = None


class Batches:
    """Open batches by step. `window`: seconds that a batch waits for hosts; `together`: batches of a step at a time."""

    def __init__(self, window: float, together: int = 2) -> None:
        self._window, self._together = window, together
        self._coming: dict[str, set[str]] = {}
        self._queues: dict[str, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, key: str, host: str) -> None:
        """This host will arrive at `key` in this run, unless it fails before."""
        self._coming.setdefault(key, set()).add(host)

    def gone(self, host: str) -> None:
        """This host will not arrive anywhere any more."""
        for key in list(self._coming):
            self.arrive(key, host)

    def coming(self, key: str) -> frozenset[str]:
        """Hosts that have not arrived yet."""
        return frozenset(self._coming.get(key, ()))

    async def join(self, key: str, host: str, work: Work, seconds: float | None = None) -> Any:
        """Wait for the batch, let it run once for all its hosts, return this host's part of the result.

        It starts `window` seconds after its first host, or when no further host is expected. Its deadline is the
        longest `seconds` of its hosts; when that passes, all of them get TimeoutError.
        """
        queue = self._queues.setdefault(key, _Queue())
        future = queue.waiting.setdefault(host, asyncio.get_running_loop().create_future())
        queue.seconds = max(filter(None, (queue.seconds, seconds)), default=None)
        self.arrive(key, host)
        if queue.task is None or queue.task.done():
            queue.task = self._spawn(self._gather(key, queue, work))
        try:
            return await future
        finally:
            if queue.waiting.get(host) is future:  # cancelled before its batch began
                del queue.waiting[host]

    def arrive(self, key: str, host: str) -> None:
        """This host is there, or need not be waited for."""
        self._coming.get(key, set()).discard(host)
        if key in self._queues:
            self._queues[key].arrival.set()

    async def _gather(self, key: str, queue: _Queue, work: Work) -> None:
        """Collect hosts until the window closes or no further host is expected, and fewer than `together` batches
        run."""
        closes = asyncio.get_running_loop().time() + self._window
        while not self._ready(key, queue, closes):
            await _either(queue.arrival, closes, queue.running >= self._together)
            queue.arrival.clear()
        hosts, queue.waiting = queue.waiting, {}
        seconds, queue.seconds = queue.seconds, None
        if not hosts:
            return
        queue.running += 1
        self._spawn(self._perform(queue, hosts, work, seconds))

    def _ready(self, key: str, queue: _Queue, closes: float) -> bool:
        closed = asyncio.get_running_loop().time() >= closes
        return queue.running < self._together and (closed or not self._coming.get(key))

    async def _perform(
        self, queue: _Queue, hosts: Mapping[str, asyncio.Future[Any]], work: Work, seconds: float | None
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                results = await work(tuple(hosts))
            outcome: Callable[[str], Any] = results.__getitem__
            _settle(hosts, outcome)
        except BaseException as error:
            _fail(hosts, error)
            if not isinstance(error, Exception):
                raise
        finally:
            queue.running -= 1
            queue.arrival.set()

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel what is under way and wait until it ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _either(arrival: asyncio.Event, closes: float, full: bool) -> None:
    """Until somebody arrives, or the window closes (which does not help while all places are taken)."""
    left = None if full else max(0.0, closes - asyncio.get_running_loop().time())
    try:
        async with asyncio.timeout(left):
            await arrival.wait()
    except TimeoutError:
        return


def _settle(hosts: Mapping[str, asyncio.Future[Any]], outcome: Callable[[str], Any]) -> None:
    for host, future in hosts.items():
        if not future.done():
            future.set_result(outcome(host))


def _fail(hosts: Mapping[str, asyncio.Future[Any]], error: BaseException) -> None:
    for future in hosts.values():
        if not future.done():
            future.set_exception(error) if isinstance(error, Exception) else future.cancel()
