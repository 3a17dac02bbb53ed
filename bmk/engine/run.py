"""State that all hosts of one run share: services, journal, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from bmk.datacenter.resolve import DataCenter
from bmk.engine.batches import Batches
from bmk.engine.journal_watcher import JournalWatcher
from bmk.engine.priority_semaphore import PrioritySemaphore
from bmk.engine.rollout import Disruptions
from bmk.engine.services import Services
from bmk.journal import Event, Journal
from bmk.permit import permitted

T = TypeVar("T")
Timing = Literal["standard", "emulated"]


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Caps of a run, times in seconds.

    `threads` for blocking calls; `bmc_slots`: conversations with BMCs at a time; `attempts` per host and run;
    `window`: how long a batch waits for more hosts; `backoff`: the first pause between two tries; `grace`: how long an
    API server that answered before may be silent; `health`: how long etcd may take to be healthy before and after one
    of its members is taken away.
    """

    threads: int = 48
    bmc_slots: int = 32
    attempts: int = 2
    window: float = 2.0
    backoff: float = 2.0
    grace: float = 60.0
    health: float = 150.0


@dataclass(slots=True)
class Run:
    """Everything that the hosts of one run share."""

    id: str
    dc: DataCenter
    journal: Journal
    services: Services
    watcher: JournalWatcher
    batches: Batches
    pool: ThreadPoolExecutor
    disruptions: Disruptions
    timing: Mapping[str, Timing] = field(default_factory=dict)  # by host; absent: standard
    limits: RunLimits = RunLimits()
    confirmed: frozenset[str] = frozenset()
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    bmc_slots: PrioritySemaphore = field(init=False)

    def __post_init__(self) -> None:
        self.bmc_slots = PrioritySemaphore(self.limits.bmc_slots)

    def emit(self, event: Event) -> None:
        """Write an event of this run to the journal; the sinks see it from there."""
        self.journal.append(replace(event, run=self.id))
        self.watcher.wake()

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call in the bounded pool. When this is cancelled, its thread changes nothing any more."""
        with permitted():
            return await asyncio.get_running_loop().run_in_executor(self.pool, copy_context().run, function, *args)

    def lock(self, name: str) -> asyncio.Lock:
        """A lock of this run by name: for what hosts must do one after the other."""
        return self.locks.setdefault(name, asyncio.Lock())
