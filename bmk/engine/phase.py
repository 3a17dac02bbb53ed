"""What a phase is, and what it may use while it runs.

A phase is one file with one class: a pure `plan`, an idempotent `run`, a `deadline`, and `overdue` for when it passes.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from bmk.bmc.protocol import Bmc
from bmk.datacenter.resolve import Host
from bmk.engine.run import Run, Timing
from bmk.errors import PhaseFailed
from bmk.journal import Event
from bmk.journal.causes import Cause, likely_cause
from bmk.journal.events import Level
from bmk.plan import Actual, Change

T = TypeVar("T")


class AttemptFailed(PhaseFailed):
    """This attempt is lost and a new one may work: the executor goes back to `back_to`, a limited number of times."""

    code = "attempt"
    back_to = "powered"


@dataclass(slots=True)
class Context:
    """One host on its way through a run. Phases leave here what later ones need; nothing here outlives the run."""

    run: Run
    host: Host
    actual: Actual
    grant_id: str | None = None
    phase: str = ""
    attempts: int = 0
    marks: dict[str, int] = field(default_factory=dict)  # journal sequence number at the start of each phase
    changed: list[str] = field(default_factory=list)
    identified: float = -math.inf  # when its BMC last said that it is this machine; time.monotonic()
    _timeout: asyncio.Timeout | None = None
    _bmc: Bmc | None = None

    def emit(self, kind: str, text: str, level: Level = "info", **data: Any) -> None:
        """Journal something about this host and phase."""
        self.run.emit(Event("bmk", kind, text, self.host.name, self.phase or None, level=level, data=data))

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the bounded pool."""
        return await self.run.call(function, *args)

    @asynccontextmanager
    async def bmc(self) -> AsyncIterator[Bmc]:
        """This host's BMC for one conversation. Few are held at a time; a deadline's clock stands meanwhile.

        The object is the same for a whole run, so that what never changes is asked once.
        """
        await self._bmc_slot()
        async with self.run.bmc_slots.turn():
            if self._bmc is None:
                self._bmc = await self.call(self.run.services.bmc, self.host)
            try:
                yield self._bmc
            finally:
                self._bmc.hang_up()

    async def _bmc_slot(self) -> None:
        """A place among those who speak with their BMCs."""
        bmc_slots, progress = self.run.bmc_slots, len(self.changed)
        if not bmc_slots.full:
            await bmc_slots.take(progress)
            return
        async with self.waiting("waits for its turn to speak with its BMC"):
            await bmc_slots.take(progress)

    async def until(self, look: Callable[[], T | None], idle: float | None = None) -> T:
        """Wait until `look()` returns something; it is asked again after every event of this host.

        With `idle`, raises TimeoutError when this host had no event for that many seconds.
        """
        return await self.run.watcher.until(self.host.name, look, idle)

    def events(self, since: str) -> list[Event]:
        """What happened to this host since a phase began in this run, or since this one did."""
        seq = self.marks.get(since, self.marks.get(self.phase, 0))
        return self.run.journal.since(seq, host=self.host.name)

    @property
    def timing(self) -> Timing:
        return self.run.timing.get(self.host.name, "standard")

    @asynccontextmanager
    async def waiting(self, text: str) -> AsyncIterator[None]:
        """The clock of the deadline stands still: the host waits for others, which is nobody's fault."""
        self.emit("phase.waiting", text, "debug")
        left = self._stop_clock()
        try:
            yield
        finally:
            if left is not None and self._timeout is not None:
                self._timeout.reschedule(asyncio.get_running_loop().time() + left)

    @asynccontextmanager
    async def clock(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError after `seconds` of work; time spent in `waiting` does not count."""
        async with asyncio.timeout(seconds) as self._timeout:
            yield

    def _stop_clock(self) -> float | None:
        end = self._timeout.when() if self._timeout is not None else None
        if end is None or self._timeout is None:
            return None
        self._timeout.reschedule(None)
        return end - asyncio.get_running_loop().time()


class Phase(ABC):
    """One step of a host's way. Instances hold no state: all of it is in the journal and the context."""

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    evidence_from: ClassVar[str] = ""  # the phase from whose start on events tell what went wrong; "": this one

    @abstractmethod
    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """What this phase would change on a host in this state. Pure; empty means that there is nothing to do."""

    @abstractmethod
    async def run(self, ctx: Context) -> None:
        """Make it so. Safe to run again after a kill; raises PhaseFailed, Unreachable or PreflightRefused."""

    @abstractmethod
    def deadline(self, host: Host, timing: Timing) -> float:
        """Seconds of work after which something must be wrong."""

    def batch_key(self, host: Host) -> str | None:
        """The batch in which this host meets others, so that those know who is still to come; None: it goes alone."""
        return None

    def overdue(self, ctx: Context) -> Cause:
        """The likely cause and the next command, told from what the journal holds (and what it does not)."""
        return likely_cause(self.name, ctx.events(self.evidence_from), ctx.run.dc.name, ctx.host.name, time.time())

    def change(self, kind: str, text: str, why: str, **more: Any) -> Change:
        return Change(self.name, kind, text, why, **more)
