"""The host is a member of its cluster. Who comes first while no API server answers begins it; no host is special."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.errors import PhaseFailed
from bmk.phases.base import Context, Phase
from bmk.phases.converging import converge, failure
from bmk.phases.run import Timing
from bmk.phases.services import Converge, Converged
from bmk.plan import Actual, Change


class Joined(Phase):
    name = "joined"
    title = "Join the cluster"
    needs = ("configured",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if host.cluster is None or actual.node in ("ready", "not-ready"):
            return []
        if actual.joined is not None and actual.joined.get("cluster") == host.cluster and actual.node == "unknown":
            return []
        role = host.role.replace("_", " ")
        why = "its node is gone from the API" if actual.joined else "not a member yet"
        return [self.change("join", f"join cluster {host.cluster} as {role}", why)]

    def meets(self, host: Host) -> str | None:
        if host.cluster is None:
            return None
        return _control(host) if host.role == "control_plane" else f"join/{host.cluster}"

    async def run(self, ctx: Context) -> None:
        if ctx.host.cluster is None:
            return
        if ctx.host.role == "control_plane":
            await self._control_plane(ctx)
        else:
            await self._worker(ctx)
        ctx.run.journal.record(ctx.host.name, "joined", {"cluster": ctx.host.cluster, "at": time.time()})
        ctx.run.waves.arrive(_control(ctx.host), ctx.host.name)
        ctx.emit("host.joined", f"member of cluster {ctx.host.cluster}")

    def deadline(self, timing: Timing) -> float:
        return {"standard": 900, "emulated": 2400}[timing]

    async def _control_plane(self, ctx: Context) -> None:
        """One at a time: the first begins the cluster, etcd takes further members one after the other."""
        lock = ctx.run.lock(_control(ctx.host))
        async with ctx.waiting("waits for another control plane"):
            await _beginner(ctx)
            await lock.acquire()
        try:
            if await _may_join(ctx):
                await _run_playbook(ctx, "join.yml", self.deadline(ctx.timing))
            else:
                await _begin(ctx, self.deadline(ctx.timing))
        finally:
            lock.release()

    async def _worker(self, ctx: Context) -> None:
        async with ctx.waiting("waits for a control plane"):
            await _first_control_plane(ctx)

        async def work(hosts: tuple[str, ...]) -> Mapping[str, Converged]:
            return await _join(ctx, "join.yml", hosts)

        await converge(ctx, f"join/{ctx.host.cluster}", work, self.deadline(ctx.timing))


async def _beginner(ctx: Context) -> None:
    """While the host that began this cluster is on its way and no API answers: let it finish what it began."""
    while _begun_elsewhere(ctx) in ctx.run.waves.coming(_control(ctx.host)) and not await _api_answers(ctx):
        await asyncio.sleep(ctx.run.limits.backoff)


async def _may_join(ctx: Context) -> bool:
    """True when there is a cluster to join, False when this host shall begin it.

    Never both: when another host began it and no API answers, a second beginning would be a second cluster.
    """
    if await _api_answers(ctx):
        return True
    other = _begun_elsewhere(ctx)
    if other is None:
        return False
    async with ctx.waiting(f"waits for the API: {other} began the cluster"):
        if await _answers_within(ctx, _grace(ctx)):
            return True
    raise PhaseFailed(
        f"no API server answers, and {other} has begun this cluster before",
        where=ctx.host.name,
        why="a second beginning would be a second cluster",
        hint=f"bmk why {ctx.run.dc.name} {other}, then bmk provision {ctx.run.dc.name} with {other} in it",
    )


async def _begin(ctx: Context, seconds: float) -> None:
    """Begin the cluster. Written down before kubeadm runs: after a kill the same host finishes what it began."""
    ctx.run.journal.record(ctx.host.name, "begun", {"cluster": ctx.host.cluster, "at": time.time()})
    ctx.emit("cluster.begun", f"no API server answers: {ctx.host.name} begins cluster {ctx.host.cluster}")
    await _run_playbook(ctx, "init.yml", seconds)


def _begun_elsewhere(ctx: Context) -> str | None:
    """Another host that began or joined this cluster. Whoever is installed again is forgotten here."""
    journal = ctx.run.journal
    mine = {**journal.records("joined"), **journal.records("begun")}
    hosts = [n for n, r in mine.items() if r.get("cluster") == ctx.host.cluster and n != ctx.host.name]
    members = {h.name for h in ctx.run.dc.members(ctx.host.cluster or "", "control_plane")}
    return next((n for n in sorted(hosts) if n in members), None)


async def _run_playbook(ctx: Context, name: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        results = await _join(ctx, name, (ctx.host.name,))
    result = results[ctx.host.name]
    if not result.ok:
        raise failure(ctx, result)


async def _join(ctx: Context, name: str, hosts: tuple[str, ...]) -> Mapping[str, Converged]:
    """Run the playbook. It mints tickets on the control plane `bmk_via` when each host needs one."""
    variables = {"bmk_via": await ctx.call(_via, ctx, hosts)} if name == "join.yml" else {}
    return await ctx.run.services.converge(Converge(ctx.phase, name, hosts, variables), ctx.run.emit)


def _via(ctx: Context, joining: tuple[str, ...]) -> str | None:
    """A control plane whose API server is ready, to ask for tickets."""
    live = ctx.run.services.cluster(ctx.host.cluster or "").live()
    return next((name for name in live if name not in joining), None)


async def _first_control_plane(ctx: Context) -> None:
    """Until an API server answers, or nobody is left who could bring one up."""
    while not await _api_answers(ctx):
        if not ctx.run.waves.coming(_control(ctx.host)):
            if await _answers_within(ctx, _grace(ctx)):
                return
            names = ", ".join(h.name for h in ctx.run.dc.members(ctx.host.cluster or "", "control_plane"))
            raise PhaseFailed(
                f"no API server of cluster {ctx.host.cluster} answers",
                where=ctx.host.name,
                why=f"control planes: {names}; none of them is on its way in this run",
                hint=f"bmk status {ctx.run.dc.name}",
            )
        await asyncio.sleep(ctx.run.limits.backoff)


async def _answers_within(ctx: Context, seconds: float) -> bool:
    end = asyncio.get_running_loop().time() + seconds
    while not await _api_answers(ctx):
        if asyncio.get_running_loop().time() >= end:
            return False
        await asyncio.sleep(ctx.run.limits.backoff)
    return True


async def _api_answers(ctx: Context) -> bool:
    return bool(await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").live))


def _grace(ctx: Context) -> float:
    """How long an API server that has been there may be silent, in seconds."""
    return ctx.run.limits.grace * (4 if ctx.timing == "emulated" else 1)


def _control(host: Host) -> str:
    return f"control/{host.cluster}"
