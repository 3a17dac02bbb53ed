"""One run from first event to last: pool, journal reader, sinks, record of the run. The lock is the caller's."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bmk.datacenter.resolve import DataCenter
from bmk.engine.action import Action
from bmk.engine.batches import Batches
from bmk.engine.executor import Outcome, execute
from bmk.engine.journal_watcher import JournalWatcher
from bmk.engine.lock import this_owner
from bmk.engine.rollout import Asked, Disruptions, rollouts
from bmk.engine.run import Run, RunLimits, Timing
from bmk.engine.services import Services
from bmk.errors import Exit
from bmk.journal import Event, Journal
from bmk.journal.retention import prune
from bmk.journal.sinks import Sink
from bmk.permit import permitted
from bmk.plan import Plan
from bmk.plan.actual import Observation


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `confirmed`: hosts whose data may be lost; `poll` in seconds.

    `rollout`: bounds that count more than those of dc.yml and of the action. `check` raises when the run may not change
    anything any more: `RunLock.check`.
    """

    sinks: Sequence[Sink] = ()
    confirmed: frozenset[str] = frozenset()
    timing: Mapping[str, Timing] = field(default_factory=dict)
    limits: RunLimits = field(default_factory=RunLimits)
    rollout: Asked = field(default_factory=dict)
    poll: float = 0.2
    check: Callable[[], None] | None = None


def new_run_id() -> str:
    """Sortable by time, unique: `20261123-203012-a1b2c3d4`."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What a run works on and with. `id` is the run's."""

    id: str
    dc: DataCenter
    services: Services
    journal: Journal


async def perform(setup: RunSetup, action: Action, plan: Plan, seen: Observation, options: Options) -> list[Outcome]:
    """Execute a plan. Whatever ends it, the journal says how: finished, interrupted, or (when killed) nothing."""
    bounds = rollouts(setup.dc.spec, action.rollout, options.rollout)
    away = [setup.dc.hosts[h.host] for h in plan.pending if seen.hosts[h.host].away]
    async with _running(setup, options, Disruptions(bounds, away)) as run:
        _begin(run, plan)
        try:
            outcomes = await execute(run, action, plan, seen)
        except BaseException:
            _end(run, Exit.INTERRUPTED, "interrupted; the same command continues")
            raise
        failed = [o.host for o in outcomes if o.error is not None]
        text = f"{len(outcomes) - len(failed)} hosts done, {len(failed)} failed"
        _end(run, Exit.SOME_HOSTS if failed else Exit.OK, text)
        await run.call(prune, setup.journal, setup.dc.spec.retention_days, time.time())
    return outcomes


@asynccontextmanager
async def _running(setup: RunSetup, options: Options, disruptions: Disruptions) -> AsyncIterator[Run]:
    watcher = JournalWatcher(setup.journal, options.sinks, options.poll)
    pool = ThreadPoolExecutor(options.limits.threads, thread_name_prefix="bmk")
    batches = Batches(options.limits.window)
    following = asyncio.create_task(watcher.follow())
    try:
        with permitted(options.check):
            yield Run(
                id=setup.id,
                dc=setup.dc,
                journal=setup.journal,
                services=setup.services,
                watcher=watcher,
                batches=batches,
                pool=pool,
                disruptions=disruptions,
                timing=options.timing,
                limits=options.limits,
                confirmed=options.confirmed,
            )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(run: Run, plan: Plan) -> None:
    with run.journal.transaction() as db:
        values = (run.id, plan.action, time.time(), this_owner(), json.dumps(plan.as_dict()))
        db.execute("INSERT INTO runs (id, action, started, owner, plan) VALUES (?,?,?,?,?)", values)
    hosts = [h.host for h in plan.pending]
    run.emit(Event("bmk", "run.started", f"{plan.action} {plan.dc}: {len(hosts)} hosts", data={"hosts": hosts}))


def _end(run: Run, code: Exit, text: str) -> None:
    with run.journal.transaction() as db:
        db.execute("UPDATE runs SET ended = ?, exit = ? WHERE id = ?", (time.time(), int(code), run.id))
    run.emit(Event("bmk", "run.finished", text, data={"exit": int(code)}))
