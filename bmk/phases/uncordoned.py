"""A host that comes back from maintenance takes pods again, and its maintenance is over."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.journal.records import MaintenanceRecord
from bmk.plan import Actual, Change


class Uncordoned(Phase):
    name = "uncordoned"
    title = "Let it serve again"
    needs = ("verified",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.maintenance is None:
            return []
        text = "uncordon its node, end the maintenance" if host.cluster else "end the maintenance"
        return [self.change("uncordon", text, f"it was for: {actual.maintenance.reason}")]

    async def run(self, ctx: Context) -> None:
        if ctx.host.cluster is not None:
            cluster = ctx.run.services.cluster(ctx.host.cluster)
            if ctx.host.role == "control_plane":
                await _etcd_is_back(ctx)
            await ctx.call(cluster.uncordon, ctx.host)
        MaintenanceRecord.drop(ctx.run.journal, ctx.host.name)
        ctx.emit("host.maintenance", "out of maintenance: it serves again")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 300, "emulated": 900}[timing]


async def _etcd_is_back(ctx: Context) -> None:
    """Its member has what was written meanwhile: it answers as healthy, and its API server is ready."""
    cluster = ctx.run.services.cluster(ctx.host.cluster or "")

    async def lacks() -> str:
        if not (await ctx.call(cluster.etcd)).get(ctx.host.name, False):
            return "its member of etcd is not healthy"
        return "" if ctx.host.name in await ctx.call(cluster.live) else "its API server is not ready"

    await ctx.poll(lacks, "etcd.waiting")
