"""Background tasks of the boot service: one that fails is journaled and restarted after a pause; the others go on.
Their state is in the journal, so that `bmk status` shows it without asking the service.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from bmk.boot.journal_writer import JournalWriter
from bmk.journal import Event, Journal
from bmk.journal.host_status import age

OWNER, KEY = "@boot", "tasks"  # the record of the tasks' state
BEAT = 15.0  # seconds between two records
_SILENT = 4 * BEAT  # seconds without a record after which the service counts as gone
_FIRST, _LONGEST = 1.0, 60.0  # seconds before a task begins again: doubled each time; reset when it ran for long

Work = Callable[[], Awaitable[None]]


class TaskState(BaseModel):
    """`restarts` since the service started; `error`: that of the last failure, at `failed` (epoch seconds)."""

    alive: bool = True
    restarts: int = 0
    error: str = ""
    failed: float = 0.0

    @property
    def words(self) -> str:
        """`alive`, or what is wrong and how often it was."""
        times = f", restarted {self.restarts} times" if self.restarts else ""
        last = f", last {age(self.failed)} ago: {self.error}" if self.error else ""
        return f"{'alive' if self.alive else 'waits to begin again'}{times}{last}"


class ServiceState(BaseModel):
    """The tasks of the boot service, as they were `at` (epoch seconds)."""

    at: float
    tasks: dict[str, TaskState]

    def silent(self, now: float) -> bool:
        return now - self.at > _SILENT


def read_state(journal: Journal) -> ServiceState | None:
    """The last recorded state; None when the service was stopped properly, or never ran."""
    try:
        return ServiceState.model_validate(journal.facts(OWNER).get(KEY))
    except ValidationError:
        return None


@dataclass(slots=True)
class TaskSupervisor:
    """Keeps tasks running until cancelled. `now` in epoch seconds; `pause` waits (seconds)."""

    writer: JournalWriter
    now: Callable[[], float] = time.time
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    states: dict[str, TaskState] = field(default_factory=dict)

    async def run(self, tasks: dict[str, Work]) -> None:
        """Run all tasks and record their state, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, work in {**tasks, "state": self._heartbeat}.items():
                group.create_task(self._keep(name, work))

    async def close(self) -> None:
        """Remove the record: the service was stopped properly."""
        await self.writer.run(lambda journal: journal.forget(OWNER, KEY))

    async def _keep(self, name: str, work: Work) -> None:
        state, wait = self.states.setdefault(name, TaskState()), _FIRST
        while True:
            began = self.now()
            try:
                await work()
                problem = "it ended, and never should"
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            wait = _FIRST if self.now() - began > _LONGEST else wait
            await self._failed(name, state, problem[:500])
            await self.pause(wait)
            wait = min(2 * wait, _LONGEST)
            state.alive, state.restarts = True, state.restarts + 1

    async def _failed(self, name: str, state: TaskState, problem: str) -> None:
        """Log it always, journal it when the error is a new one: what fails may be the journal."""
        sys.stderr.write(f"bmk: task {name} failed and begins again: {problem}\n")
        news = problem != state.error
        state.alive, state.error, state.failed = False, problem, self.now()
        if news:
            text = f"task {name} of the boot service failed and begins again: {problem}"
            await self._try(lambda journal: journal.append(Event("bmk", "boot.task_failed", text, level="error")))
        await self._try(self._record)

    async def _try(self, work: Callable[[Journal], Any]) -> None:
        try:
            await self.writer.run(work)
        except Exception as error:
            sys.stderr.write(f"bmk: the journal cannot be written: {type(error).__name__}: {error}\n")

    async def _heartbeat(self) -> None:
        while True:
            await self.writer.run(self._record)
            await self.pause(BEAT)

    def _record(self, journal: Journal) -> None:
        journal.record(OWNER, KEY, ServiceState(at=self.now(), tasks=self.states).model_dump())
