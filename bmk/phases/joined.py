"""The host joins its cluster. The first control plane here while no API server answers runs `kubeadm init`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.engine.services import Converge, Converged
from bmk.journal.installation import close
from bmk.journal.records import BootstrapRecord, MembershipRecord
from bmk.phases.bootstrap import cluster_is_there, settled
from bmk.phases.csr_approval import approving_certificates
from bmk.phases.playbooks import converge, failure
from bmk.plan import Actual, Change
from bmk.plan.guards import RECORD, made_with


class Joined(Phase):
    name = "joined"
    title = "Join the cluster"
    needs = ("configured",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """A node in the API is not enough: the kubelet registers it long before kubeadm is done."""
        if host.cluster is None:
            return []
        member = actual.is_member_of(host.cluster)
        if member and actual.node != "absent":
            return []
        role = host.role.replace("_", " ")
        why = "its node is gone from the API" if member else "not a member yet"
        return [self.change("join", f"join cluster {host.cluster} as {role}", why)]

    def batch_key(self, host: Host) -> str | None:
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
        MembershipRecord(cluster=ctx.host.cluster, at=time.time()).save(ctx.run.journal, ctx.host.name)
        ctx.run.batches.arrive(_control(ctx.host), ctx.host.name)
        ctx.emit("host.joined", f"member of cluster {ctx.host.cluster}")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 900, "emulated": 2400}[timing]

    async def _control_plane(self, ctx: Context) -> None:
        """One at a time: the first runs init, and etcd accepts one new member at a time."""
        lock, key = ctx.run.lock(_control(ctx.host)), _control(ctx.host)
        async with ctx.waiting("waits for another control plane"):
            await settled(ctx, key)  # without the lock: the one that it waits for needs it
            await lock.acquire()
        try:
            async with ctx.waiting("waits for the API"):
                step = await settled(ctx, key)
            if step == "begin":
                _write_down(ctx)
            if step != "join":  # to finish, too: until it is a member, the file may still change
                cluster = ctx.host.cluster or ""
                ctx.run.journal.record(cluster, RECORD, made_with(ctx.run.dc, cluster))
            await _alone(ctx, "join.yml" if step == "join" else "init.yml", self.deadline(ctx.host, ctx.timing))
        finally:
            lock.release()

    async def _worker(self, ctx: Context) -> None:
        async with ctx.waiting("waits for a control plane"):
            await cluster_is_there(ctx, _control(ctx.host))

        async def work(hosts: tuple[str, ...]) -> Mapping[str, Converged]:
            return await _converge(ctx, "join.yml", hosts)

        await converge(ctx, f"join/{ctx.host.cluster}", work, self.deadline(ctx.host, ctx.timing))


def _write_down(ctx: Context) -> None:
    """Journal the intent before init runs: after a kill the same host, and no other, runs it again.

    Records of an earlier cluster of this name end here.
    """
    close(ctx.run.journal, ctx.host.cluster or "")
    BootstrapRecord(cluster=ctx.host.cluster or "", at=time.time()).save(ctx.run.journal, ctx.host.name)
    ctx.emit("cluster.begun", f"no API server answers: {ctx.host.name} begins cluster {ctx.host.cluster}")


async def _alone(ctx: Context, name: str, seconds: float) -> None:
    """A playbook for this host only."""
    async with asyncio.timeout(seconds):
        results = await _converge(ctx, name, (ctx.host.name,))
    result = results[ctx.host.name]
    if not result.ok:
        raise failure(ctx, result)


async def _converge(ctx: Context, name: str, hosts: tuple[str, ...]) -> Mapping[str, Converged]:
    """Run the playbook. It mints tickets on the control plane `bmk_via` when each host needs one."""
    if name != "join.yml":
        return await ctx.run.services.converge(Converge(ctx.phase, name, hosts), ctx.run.emit)
    variables = {"bmk_via": await ctx.call(_via, ctx, hosts)}
    async with approving_certificates(ctx):
        return await ctx.run.services.converge(Converge(ctx.phase, name, hosts, variables), ctx.run.emit)


def _via(ctx: Context, joining: tuple[str, ...]) -> str | None:
    """A control plane whose API server is ready, to ask for tickets."""
    live = ctx.run.services.cluster(ctx.host.cluster or "").live()
    return next((name for name in live if name not in joining), None)


def _control(host: Host) -> str:
    return f"control/{host.cluster}"
