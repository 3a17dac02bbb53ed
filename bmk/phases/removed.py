"""A host that will be installed again leaves its cluster first: it is drained, and removed from etcd and the API."""

from __future__ import annotations

import time

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.journal.records import DrainRecord, MembershipRecord, RemovalRecord
from bmk.phases.identity import check_identity
from bmk.phases.powered import refuse_unconfirmed
from bmk.plan import Actual, Change
from bmk.plan.actual import NodeState
from bmk.plan.wipe import needs_install, why_install

_REST = 60.0  # seconds of the deadline for everything but the drain


class Removed(Phase):
    name = "removed"
    title = "Take it out of its cluster"
    needs = ("registered",)
    effects = Effects(drains=True, leaves_etcd=True, invalidates=(MembershipRecord,))

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """Nothing when no control plane remains: the whole cluster is made again then."""
        if not is_in(host, actual) or not actual.remaining or not needs_install(host, actual):
            return []
        return [self.change("remove", how(host, actual), why_install(host, actual))]

    async def run(self, ctx: Context) -> None:
        """Consent and identity are checked first: no node is lost for an installation that would be refused."""
        refuse_unconfirmed(ctx)
        async with ctx.bmc() as bmc:
            await check_identity(ctx, bmc)
        await take_out(ctx, self.deadline(ctx.host, ctx.timing) - _REST)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 660, "emulated": 1260}[timing]


def is_in(host: Host, actual: Actual) -> bool:
    """Whether its cluster knows it, by what is on record or by its API."""
    return actual.is_member_of(host.cluster) or actual.node in ("ready", "not-ready")


def how(host: Host, actual: Actual) -> str:
    """What leaving its cluster takes, in words."""
    parts = ["drain its node"] if actual.node == "ready" else []
    parts += ["remove its member of etcd"] if host.role == "control_plane" else []
    return f"{', '.join([*parts, 'delete its node'])} in cluster {host.cluster}"


async def take_out(ctx: Context, seconds: float) -> None:
    """Drain it, for so many seconds; then etcd and the API forget it. Records come before: a kill is known."""
    cluster = ctx.run.services.cluster(ctx.host.cluster or "")
    if await node_now(ctx) == "ready":
        DrainRecord(at=time.time()).save(ctx.run.journal, ctx.host.name)
        await ctx.call(cluster.drain, ctx.host, seconds)
        ctx.emit("node.drained", "its pods have left")
    RemovalRecord(cluster=ctx.host.cluster or "", at=time.time()).save(ctx.run.journal, ctx.host.name)
    await ctx.call(cluster.remove, ctx.host)
    ctx.emit("node.removed", f"out of cluster {ctx.host.cluster}")


async def node_now(ctx: Context) -> NodeState:
    """How its node is, asked again when nobody said: what may serve is never treated as dead. Raises Unreachable."""
    if ctx.actual.node != "unknown":
        return ctx.actual.node
    return (await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").nodes)).get(ctx.host.name, "absent")
