"""What a phase is, and what it may use while it runs.

A phase is one file with one class: a pure `plan`, an idempotent `run`, a `deadline`, and `overdue` for when it passes.
It declares what it works on (`scope`: each host, or a whole cluster or data center at once) and its `effects`.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from bmk.bmc.protocol import Bmc
from bmk.datacenter.resolve import Host
from bmk.engine.rollout import Absence
from bmk.engine.run import Run, Timing
from bmk.errors import BmkError, PhaseFailed
from bmk.journal import Event
from bmk.journal.cause_rule import Cause
from bmk.journal.causes import likely_cause
from bmk.journal.events import Level
from bmk.journal.records import JournalRecord
from bmk.plan import Actual, Change
from bmk.plan.build import GroupView
from bmk.plan.model import Scope

T = TypeVar("T")


class AttemptFailed(PhaseFailed):
    """This attempt is lost and a new one may work: the executor goes back to `back_to`, a limited number of times."""

    code = "attempt"
    back_to = "powered"


@dataclass(frozen=True, slots=True)
class Effects:
    """What a phase does besides what its plan says. Planning and rollout act on it.

    `replaces_disk`: later phases are planned as for a new installation. `restarts`: components of a control plane that
    stop for a while; `drains`: pods have to leave the node; `leaves_etcd`: its member is removed for good; `away`: it
    stays a member and is switched off until a person says otherwise. A member of a cluster takes a turn for each. The
    turn ends with the last phase that says so: the member serves again (`returns`), or is not expected back (`leaves`).
    `invalidates`: records that are dropped when it is done.
    """

    replaces_disk: bool = False
    restarts: tuple[str, ...] = ()
    drains: bool = False
    leaves_etcd: bool = False
    away: bool = False
    returns: bool = False
    leaves: bool = False
    invalidates: tuple[type[JournalRecord], ...] = ()

    @property
    def absence(self) -> Absence:
        """How a member of etcd is missed meanwhile."""
        return "away" if self.away else "removed" if self.leaves_etcd else "restarted"


@dataclass(slots=True)
class Work:
    """What contexts of hosts and of groups share: events, blocking calls, the clock of the deadline."""

    run: Run
    phase: str = field(default="", kw_only=True)
    _timeout: asyncio.Timeout | None = field(default=None, kw_only=True)

    @property
    def subject(self) -> str | None:
        """The host that events are about; None: a whole group."""
        return None

    def emit(self, kind: str, text: str, level: Level = "info", **data: Any) -> None:
        """Journal something about this subject and phase."""
        self.run.emit(Event("bmk", kind, text, self.subject, self.phase or None, level=level, data=data))

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the bounded pool."""
        return await self.run.call(function, *args)

    async def poll(self, lacks: Callable[[], Awaitable[str]], kind: str, **data: Any) -> None:
        """Ask `lacks` until it answers "": what is not as it should be yet, or what passes, such as a silent API.

        What it answers is journaled as `kind`, with `data`, when it changes.
        """
        told = ""
        while True:
            try:
                text = await lacks()
            except BmkError as error:
                if not error.retryable:
                    raise
                text = error.what
            if not text:
                return
            if text != told:
                self.emit(kind, text, "debug", **data)
                told = text
            await asyncio.sleep(self.run.limits.backoff)

    @asynccontextmanager
    async def waiting(self, text: str) -> AsyncIterator[None]:
        """The clock of the deadline stands still: the subject waits for others, which is nobody's fault."""
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
        try:
            async with asyncio.timeout(seconds) as self._timeout:
                yield
        finally:
            self._timeout = None

    def _stop_clock(self) -> float | None:
        end = self._timeout.when() if self._timeout is not None else None
        if end is None or self._timeout is None:
            return None
        self._timeout.reschedule(None)
        return end - asyncio.get_running_loop().time()


@dataclass(slots=True)
class Context(Work):
    """One host on its way through a run. Phases leave here what later ones need; nothing here outlives the run."""

    host: Host
    actual: Actual
    grant_id: str | None = None
    attempts: int = 0
    marks: dict[str, int] = field(default_factory=dict)  # journal sequence number at the start of each phase
    changed: list[str] = field(default_factory=list)
    identified: float = -math.inf  # when its BMC last said that it is this machine; time.monotonic()
    _bmc: Bmc | None = None

    @property
    def subject(self) -> str | None:
        return self.host.name

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
                self._bmc.disconnect()

    async def _bmc_slot(self) -> None:
        """A place among those who speak with their BMCs."""
        slots, progress = self.run.bmc_slots, len(self.changed)
        if not slots.full:
            await slots.take(progress)
            return
        async with self.waiting("waits for its turn to speak with its BMC"):
            await slots.take(progress)

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


@dataclass(slots=True)
class GroupContext(Work):
    """A cluster, or the data center, while one of its phases runs. `hosts`: all that the file puts into it."""

    name: str
    hosts: tuple[Host, ...]

    @property
    def timing(self) -> Timing:
        """`emulated` when one of the hosts is."""
        return "emulated" if any(self.run.timing.get(h.name) == "emulated" for h in self.hosts) else "standard"


class _Declared(ABC):
    """What every phase declares. Instances hold no state: all of it is in the journal and the context."""

    name: ClassVar[str]
    title: ClassVar[str]
    scope: ClassVar[Scope]
    effects: ClassVar[Effects] = Effects()
    needs: ClassVar[tuple[str, ...]] = ()
    evidence_from: ClassVar[str] = ""  # the phase from whose start on events tell what went wrong; "": this one

    @property
    def replaces_disk(self) -> bool:
        return self.effects.replaces_disk

    def change(self, kind: str, text: str, why: str, **more: Any) -> Change:
        return Change(self.name, kind, text, why, **more)


class Phase(_Declared):
    """One step of a host's way."""

    scope: ClassVar[Scope] = "host"

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


class GroupPhase(_Declared):
    """One step of a whole cluster (or data center). It runs once, and hosts of the group wait for it.

    `starts` when the `first` of these hosts is there, or when `all` of them are that have not failed; not before the
    group phases of its hosts' clusters that it `needs`.
    """

    scope: ClassVar[Scope] = "cluster"
    starts: ClassVar[Literal["first", "all"]] = "all"

    def holds_up(self, host: Host) -> bool:
        """Whether this host of the group waits for the phase, and fails with it."""
        return True

    @abstractmethod
    def plan(self, view: GroupView) -> list[Change]:
        """What this phase would change in a group in this state. Pure; empty means that there is nothing to do."""

    @abstractmethod
    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        """Make it so. Safe to run again. Raises when it failed for the group; returns hosts for which alone it did."""

    @abstractmethod
    def deadline(self, timing: Timing) -> float:
        """Seconds of work after which something must be wrong."""
