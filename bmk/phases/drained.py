"""Pods leave a host that goes into maintenance; it takes no new ones until it comes back."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.phases.identity import check_identity
from bmk.plan import Actual, Change

_REST = 60.0  # seconds of the deadline for everything but the drain


class Drained(Phase):
    name = "drained"
    title = "Let its pods leave"
    effects = Effects(drains=True, away=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """Of a node that is not Ready no kubelet would stop a pod; while nobody says how it is, it counts as Ready."""
        unknown = actual.node == "unknown" and actual.power != "off" and actual.is_member_of(host.cluster)
        if actual.maintenance is None or not (actual.node == "ready" or unknown):
            return []
        text = f"cordon and drain its node in cluster {host.cluster}"
        return [self.change("drain", text, f"maintenance: {actual.maintenance.reason}")]

    async def run(self, ctx: Context) -> None:
        """The machine behind the BMC is asked for its identity first: no node is drained for another one."""
        async with ctx.bmc() as bmc:
            await check_identity(ctx, bmc)
        cluster = ctx.run.services.cluster(ctx.host.cluster or "")
        await ctx.call(cluster.drain, ctx.host, self.deadline(ctx.host, ctx.timing) - _REST)
        ctx.emit("node.drained", "its pods have left")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 660, "emulated": 1260}[timing]
