"""Walks every host through its phases, all hosts at once, each at its own pace; one bad host never stops another."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmk.engine.phase import AttemptFailed, Context, Phase
from bmk.engine.run import Run
from bmk.errors import BmkError, DeadlinePassed, PhaseFailed
from bmk.journal import Event
from bmk.plan import Actual, HostPlan, Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a host ended: `error` None is success; `phase` is the last one it entered ("": it had nothing to do)."""

    host: str
    phase: str
    error: BmkError | None = None


async def execute(run: Run, phases: Sequence[Phase], plan: Plan, actuals: Mapping[str, Actual]) -> list[Outcome]:
    """Do what the plan says. Returns one outcome per host with changes, in the order of the plan."""
    contexts = [Context(run, run.dc.hosts[h.host], actuals[h.host]) for h in plan.pending]
    for ctx, host_plan in zip(contexts, plan.pending, strict=True):
        _announce(run, phases, ctx, host_plan)
    try:
        async with asyncio.TaskGroup() as group:
            walks = [(p, ctx) for p, ctx in zip(plan.pending, contexts, strict=True)]
            tasks = [group.create_task(_host(ctx, phases, set(p.phases))) for p, ctx in walks]
    finally:
        await run.batches.stop()
    return [task.result() for task in tasks]


def _announce(run: Run, phases: Sequence[Phase], ctx: Context, plan: HostPlan) -> None:
    """Say which batches this host will come to, so that they can wait for it."""
    for phase in phases:
        key = phase.batch_key(ctx.host)
        if key is not None and phase.name in plan.phases:
            run.batches.expect(key, ctx.host.name)


async def _host(ctx: Context, phases: Sequence[Phase], pending: set[str]) -> Outcome:
    """One host to its end. Never raises, except when the whole run is cancelled."""
    try:
        await _walk(ctx, phases, pending)
    except BmkError as error:
        return _failed(ctx, error)
    except Exception as error:
        return _failed(ctx, _bug(ctx, error))
    finally:
        ctx.run.batches.gone(ctx.host.name)
    return Outcome(ctx.host.name, ctx.phase)


async def _walk(ctx: Context, phases: Sequence[Phase], pending: set[str]) -> None:
    index = 0
    while index < len(phases):
        if phases[index].name in pending:
            try:
                await _step(ctx, phases[index])
            except AttemptFailed as error:
                back = _again(ctx, phases, error)
                pending |= {p.name for p in phases[back:index]}
                index = back
                continue
        index += 1


async def _step(ctx: Context, phase: Phase) -> None:
    """One phase within its deadline, journaled before and after."""
    ctx.phase, started = phase.name, time.monotonic()
    ctx.marks[phase.name] = ctx.run.journal.last_seq()
    ctx.emit("phase.started", phase.title)
    trouble: list[BmkError] = []
    try:
        async with ctx.clock(phase.deadline(ctx.host, ctx.timing)):
            await _patiently(ctx, phase, trouble)
    except TimeoutError:
        raise _overdue(ctx, phase, trouble) from None
    ctx.changed.append(phase.name)
    ctx.emit("phase.finished", f"{phase.title}: done", seconds=round(time.monotonic() - started, 3))


async def _patiently(ctx: Context, phase: Phase, trouble: list[BmkError]) -> None:
    """Run a phase; when something does not answer, try again with growing pauses until the deadline ends it."""
    pause = ctx.run.limits.backoff
    while True:
        try:
            return await phase.run(ctx)
        except BmkError as error:
            if not error.retryable:
                raise
            trouble[:] = [error]
            ctx.emit("phase.retry", f"{error.what}; trying again in {pause:.0f} s", "warning", why=error.why)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 30.0)


def _overdue(ctx: Context, phase: Phase, trouble: Sequence[BmkError]) -> BmkError:
    """What to say when the deadline passed: the last error that was retried, else what the journal suggests."""
    if trouble:
        return trouble[-1]
    cause = phase.overdue(ctx)
    return DeadlinePassed(cause.what, where=ctx.host.name, why=cause.why, hint=cause.hint)


def _again(ctx: Context, phases: Sequence[Phase], error: AttemptFailed) -> int:
    """Index of the phase to go back to; raises when there were enough attempts."""
    ctx.attempts += 1
    if ctx.attempts >= ctx.run.limits.attempts:
        raise PhaseFailed(
            f"{error.what} (attempt {ctx.attempts} of {ctx.run.limits.attempts})",
            where=error.where,
            why=error.why,
            hint=error.hint,
        ) from error
    ctx.emit("phase.again", f"{error.what}; going back to {error.back_to} for a new attempt", "warning", why=error.why)
    return next(i for i, p in enumerate(phases) if p.name == error.back_to)


def _failed(ctx: Context, error: BmkError) -> Outcome:
    data = {"what": error.what, "why": error.why, "hint": error.hint, "code": error.code}
    ctx.run.emit(Event("bmk", "phase.failed", error.what, ctx.host.name, ctx.phase or None, level="error", data=data))
    return Outcome(ctx.host.name, ctx.phase, error)


def _bug(ctx: Context, error: Exception) -> BmkError:
    """An error nobody thought of ends this host only; its traceback is kept in the journal."""
    ctx.emit("phase.bug", f"{type(error).__name__}: {error}", "debug", traceback=traceback.format_exc())
    return PhaseFailed(
        f"a bug in bmk: {type(error).__name__}: {error}",
        where=ctx.host.name,
        hint=f"report it with: bmk events {ctx.run.dc.name} --host {ctx.host.name} --level debug -o json",
    )
