"""Walks every host through its phases, all hosts at once, each at its own pace; one bad host never stops another.

A phase of a whole group runs once; hosts of the group wait for it at its place in the order. Before a phase that
disrupts a member of a cluster the host takes a turn (`engine.rollout`), which ends when the member serves again.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from bmk.engine.action import Action
from bmk.engine.phase import AttemptFailed, Context, GroupContext, GroupPhase, Phase, Work
from bmk.engine.rollout import quorum, whole
from bmk.engine.run import Run
from bmk.errors import BmkError, DeadlinePassed, PhaseFailed, PreflightRefused
from bmk.plan import HostPlan, Plan
from bmk.plan.actual import Observation
from bmk.plan.build import group_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a host or a group ended. `error` None: success; `phase`: the last one that it entered, or "" for none."""

    host: str
    phase: str
    error: BmkError | None = None


@dataclass(slots=True)
class _Group:
    """A group phase of this run: hosts that will wait for it, hosts that do, and its result: errors of single hosts.

    `skipped`: it was not run, because of what failed before it.
    """

    phase: GroupPhase
    ctx: GroupContext
    coming: set[str]
    came: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    skipped: bool = False
    end: asyncio.Future[Mapping[str, BmkError]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def failed(self) -> bool:
        """Whether what it is for was not done, once it has ended."""
        return self.skipped or self.end.exception() is not None

    @property
    def starts(self) -> bool:
        return not self.coming or (self.phase.starts == "first" and bool(self.came))


class _Execution:
    """One run of a plan."""

    def __init__(self, run: Run, action: Action, plan: Plan, seen: Observation) -> None:
        self._run, self._phases, self._plan, self._seen = run, action.phases, plan, seen
        ends_turn = (i for i, p in enumerate(self._phases) if p.effects.returns or p.effects.leaves)
        self._returns = max(ends_turn, default=-1)
        self._groups = {(c.phase, g.name): self._group(c.phase, g.name) for g in plan.scoped for c in g.changes}

    def _group(self, phase_name: str, name: str) -> _Group:
        phase = next(p for p in self._phases if p.name == phase_name and isinstance(p, GroupPhase))
        dc, pending = self._run.dc, {h.host for h in self._plan.pending}
        hosts = tuple(h for h in dc.hosts.values() if group_of(dc, phase.scope, h) == name)
        coming = {h.name for h in hosts if h.name in pending and phase.holds_up(h)}
        return _Group(phase, GroupContext(self._run, name, hosts, phase=phase.name), coming)

    async def run(self) -> list[Outcome]:
        """Outcomes of hosts with changes, in the order of the plan.

        Then those of groups that failed without such a host, and of other hosts for which their group failed.
        """
        contexts = [
            Context(self._run, self._run.dc.hosts[h.host], self._seen.hosts[h.host]) for h in self._plan.pending
        ]
        for ctx, host_plan in zip(contexts, self._plan.pending, strict=True):
            self._announce(ctx, host_plan)
        try:
            async with asyncio.TaskGroup() as group:
                for one in self._groups.values():
                    group.create_task(self._run_group(one))
                phases = {p.host: set(p.phases) for p in self._plan.pending}
                dead_first = sorted(contexts, key=lambda ctx: ctx.actual.node == "ready")  # etcd can spare those
                walks = {c.host.name: group.create_task(self._host(c, phases[c.host.name])) for c in dead_first}
        finally:
            await self._run.batches.stop()
        alone = [g for g in self._groups.values() if not g.came and g.end.exception() is not None]
        failed = [_failed(g.ctx, g.ctx.name, _known(g.ctx, g.end.exception()), group=g.ctx.name) for g in alone]
        mine = {ctx.host.name for ctx in contexts}
        found = [(g.ctx, g.end.result()) for g in self._groups.values() if g.end.exception() is None]
        failed += [
            _failed(ctx, host, error, group=ctx.name)
            for ctx, errors in found
            for host, error in errors.items()
            if host not in mine
        ]
        return [*(walks[ctx.host.name].result() for ctx in contexts), *failed]

    def _announce(self, ctx: Context, plan: HostPlan) -> None:
        """Say which batches this host will come to, so that they can wait for it."""
        for phase in self._phases:
            if isinstance(phase, Phase) and phase.name in plan.phases:
                key = phase.batch_key(ctx.host)
                if key is not None:
                    self._run.batches.expect(key, ctx.host.name)

    async def _host(self, ctx: Context, pending: set[str]) -> Outcome:
        """One host to its end. Never raises, except when the whole run is cancelled."""
        try:
            await self._walk(ctx, pending)
        except Exception as error:
            return _failed(ctx, ctx.host.name, _known(ctx, error))
        finally:
            self._run.disruptions.failed(ctx.host)  # whatever ended it: if it is still away, it stays away
            self._run.batches.gone(ctx.host.name)
            for group in self._groups.values():
                self._gone(group, ctx.host.name)
        return Outcome(ctx.host.name, ctx.phase)

    async def _walk(self, ctx: Context, pending: set[str]) -> None:
        await self._returned_by_now(ctx, 0, pending)
        index = 0
        while index < len(self._phases):
            phase = self._phases[index]
            if isinstance(phase, GroupPhase):
                await self._pass(ctx, phase)
            elif phase.name in pending:
                try:
                    await self._disrupt(ctx, phase)
                    await _step(ctx, phase)
                except AttemptFailed as error:
                    back = self._again(ctx, error)
                    pending |= {p.name for p in self._phases[back:index] if isinstance(p, Phase)}
                    index = back
                    continue
                await self._returned_by_now(ctx, index + 1, pending)
            index += 1

    async def _disrupt(self, ctx: Context, phase: Phase) -> None:
        """Take a turn for a phase that disrupts a member of a cluster, and see that the cluster bears it."""
        effects, host = phase.effects, ctx.host
        disrupts = effects.drains or effects.away or (bool(effects.restarts) and host.role == "control_plane")
        has_turn = host.name in self._run.disruptions.away()
        if not disrupts or not _serves(ctx) or (has_turn and not effects.leaves_etcd):
            return
        ctx.phase = phase.name  # where it ends when it gets no turn
        async with ctx.waiting("waits for its turn: other members of its cluster are away"):
            await self._run.disruptions.begin(host)
        if host.role == "control_plane":
            try:
                without = f"cannot spare {host.name}"
                await self._healthy(ctx, without, lambda etcd: quorum(host.name, etcd, effects.absence))
            except BmkError:
                if not has_turn:
                    self._run.disruptions.returned(host)  # it never left: others may have the turn
                raise

    async def _returned_by_now(self, ctx: Context, index: int, pending: set[str]) -> None:
        """End the turn of a member that serves again with what comes before `index`: when etcd is healthy and it
        has soaked. Of one that is not expected back, when the others are healthy.
        """
        name, back = ctx.host.name, self._phases[self._returns].effects.returns
        left = {p.name for p in self._phases[index : self._returns + 1]} & pending
        if left or name not in self._run.disruptions.away():
            return
        if ctx.host.role == "control_plane":
            after = f"is not healthy after {name} was {'changed' if back else 'taken away'}"
            await self._healthy(ctx, after, lambda etcd: whole(name, etcd, back=back))
        if back:
            await asyncio.sleep(self._run.disruptions.soak(ctx.host))
        self._run.disruptions.returned(ctx.host)

    async def _healthy(self, ctx: Context, otherwise: str, wanted: Callable[[Mapping[str, bool]], bool]) -> None:
        """Wait until etcd of the host's cluster is as wanted. Raises PreflightRefused that it is `otherwise`."""
        cluster, etcd = self._run.services.cluster(ctx.host.cluster or ""), dict[str, bool]()
        try:
            async with asyncio.timeout(self._run.limits.health * (4 if ctx.timing == "emulated" else 1)):
                while not etcd or not wanted(etcd):
                    try:
                        etcd = dict(await ctx.call(cluster.etcd))
                    except BmkError as error:
                        if not error.retryable:
                            raise
                        ctx.emit("etcd.silent", error.what, "debug")
                    if not etcd or not wanted(etcd):
                        await asyncio.sleep(self._run.limits.backoff)
        except TimeoutError:
            ill = ", ".join(sorted(name for name, well in etcd.items() if not well)) or "none that says so"
            ctx.emit("etcd.ill", f"not healthy: {ill}", "warning")
            raise PreflightRefused(
                f"etcd of cluster {ctx.host.cluster} {otherwise}",
                where=ctx.host.name,
                why=f"members: {', '.join(sorted(etcd)) or 'unknown'}; not healthy: {ill}",
                hint=f"bmk status {ctx.run.dc.name}; mend those first, the same command goes on; where most members are"
                " gone for good, docs/backup.md says how the cluster comes back",
            ) from None

    async def _pass(self, ctx: Context, phase: GroupPhase) -> None:
        """Wait for a phase of the host's group. Raises when it failed for the group, or for this host."""
        name = group_of(self._run.dc, phase.scope, ctx.host)
        group = self._groups.get((phase.name, name or ""))
        if group is None or not phase.holds_up(ctx.host):
            return
        ctx.phase = phase.name
        group.came.append(ctx.host.name)
        self._gone(group, ctx.host.name)
        async with ctx.waiting(f"waits for {phase.title.lower()} ({name})"):
            failed = await asyncio.shield(group.end)
        if ctx.host.name in failed:
            raise failed[ctx.host.name]

    def _gone(self, group: _Group, host: str) -> None:
        group.coming.discard(host)
        group.changed.set()

    async def _run_group(self, group: _Group) -> None:
        """Run a group phase when its hosts are there and what it needs is done; never when all of that failed before.

        Hosts come here by way of what it needs; a cluster without a host in this run has nobody who comes.
        """
        expected, needed = bool(group.coming), self._needed(group)
        if needed:
            await asyncio.wait([one.end for one in needed])
        while not group.starts:
            await group.changed.wait()
            group.changed.clear()
        if not group.came and (expected or (needed and all(one.failed for one in needed))):
            group.skipped = True
            group.end.set_result({})
            return
        try:
            group.end.set_result(await self._group_step(group))
        except Exception as error:
            group.end.set_exception(_known(group.ctx, error))
            group.end.exception()  # seen: nobody may be waiting

    def _needed(self, group: _Group) -> list[_Group]:
        """Those before it in this run whose phase it needs, of hosts that it works on as well."""
        hosts, before = (
            {h.name for h in group.ctx.hosts},
            takewhile(lambda one: one is not group, self._groups.values()),
        )
        return [
            one for one in before if one.phase.name in group.phase.needs and any(h.name in hosts for h in one.ctx.hosts)
        ]

    async def _group_step(self, group: _Group) -> Mapping[str, BmkError]:
        ctx, phase = group.ctx, group.phase
        started, trouble, found = time.monotonic(), list[BmkError](), dict[str, BmkError]()
        ctx.emit("phase.started", f"{phase.title} ({ctx.name})", group=ctx.name)

        async def run() -> None:
            found.update(await phase.run(ctx))

        try:
            async with ctx.clock(phase.deadline(ctx.timing)):
                await _patiently(ctx, run, trouble)
        except TimeoutError:
            if trouble:
                raise trouble[-1] from None
            what = f"{phase.title}: not done in {phase.deadline(ctx.timing):.0f} s"
            raise DeadlinePassed(what, where=ctx.name, hint=f"bmk status {ctx.run.dc.name}") from None
        seconds = round(time.monotonic() - started, 3)
        ctx.emit("phase.finished", f"{phase.title} ({ctx.name}): done", seconds=seconds, group=ctx.name)
        return found

    def _again(self, ctx: Context, error: AttemptFailed) -> int:
        """Index of the phase to go back to; raises when there were enough attempts."""
        most = self._run.limits.attempts
        ctx.attempts += 1
        if ctx.attempts >= most:
            what = f"{error.what} (attempt {ctx.attempts} of {most})"
            raise PhaseFailed(what, where=error.where, why=error.why, hint=error.hint) from error
        text = f"{error.what}; going back to {error.back_to} for a new attempt"
        ctx.emit("phase.again", text, "warning", why=error.why)
        return next(i for i, p in enumerate(self._phases) if p.name == error.back_to)


def _serves(ctx: Context) -> bool:
    """Whether its cluster would miss it. A control plane that is down is a member of etcd all the same.

    Nobody misses one whose cluster is to end.
    """
    if ctx.actual.reset is not None:
        return False
    is_member = ctx.host.role == "control_plane" and ctx.actual.is_member_of(ctx.host.cluster)
    return ctx.actual.node == "ready" or is_member


async def execute(run: Run, action: Action, plan: Plan, seen: Observation) -> list[Outcome]:
    """Do what the plan says."""
    return await _Execution(run, action, plan, seen).run()


async def _step(ctx: Context, phase: Phase) -> None:
    """One phase within its deadline, journaled before and after."""
    ctx.phase, started = phase.name, time.monotonic()
    ctx.marks[phase.name] = ctx.run.journal.last_seq()
    ctx.emit("phase.started", phase.title)
    trouble: list[BmkError] = []
    try:
        async with ctx.clock(phase.deadline(ctx.host, ctx.timing)):
            await _patiently(ctx, lambda: phase.run(ctx), trouble)
    except TimeoutError:
        raise _overdue(ctx, phase, trouble) from None
    for record in phase.effects.invalidates:
        record.drop(ctx.run.journal, ctx.host.name)
    if phase.effects.replaces_disk:
        ctx.actual = ctx.actual.with_new_disk()
    ctx.changed.append(phase.name)
    ctx.emit("phase.finished", f"{phase.title}: done", seconds=round(time.monotonic() - started, 3))


async def _patiently(ctx: Work, run: Callable[[], Awaitable[Any]], trouble: list[BmkError]) -> None:
    """Run a phase; when something does not answer, try again with growing pauses until the deadline ends it."""
    pause = ctx.run.limits.backoff
    while True:
        try:
            await run()
            return
        except BmkError as error:
            if not error.retryable:
                raise
            trouble[:] = [error]
            ctx.emit("phase.retry", f"{error.what}; trying again in {pause:.0f} s", "warning", why=error.why)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 30.0)


def _overdue(ctx: Context, phase: Phase, trouble: list[BmkError]) -> BmkError:
    """What to say when the deadline passed: the last error that was retried, else what the journal suggests."""
    if trouble:
        return trouble[-1]
    cause = phase.overdue(ctx)
    return DeadlinePassed(cause.what, where=ctx.host.name, why=cause.why, hint=cause.hint)


def _failed(ctx: Work, name: str, error: BmkError, **more: str) -> Outcome:
    data = {"what": error.what, "why": error.why, "hint": error.hint, "code": error.code, **more}
    ctx.emit("phase.failed", error.what, "error", **data)
    return Outcome(name, ctx.phase, error)


def _known(ctx: Work, error: BaseException | None) -> BmkError:
    """An error nobody thought of ends this host or group only; its traceback is kept in the journal."""
    if isinstance(error, BmkError):
        return error
    trace = "".join(traceback.format_exception(error))
    ctx.emit("phase.bug", f"{type(error).__name__}: {error}", "debug", traceback=trace)
    return PhaseFailed(
        f"a bug in bmk: {type(error).__name__}: {error}",
        where=ctx.subject or "",
        hint=f"report it with: bmk events {ctx.run.dc.name} --level debug -o json",
    )
