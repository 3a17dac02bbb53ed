"""A host that comes back from maintenance, or whose cluster ends, is on, from its own disk: nothing is installed."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.phases.identity import check_identity
from bmk.plan import Actual, Change


class Started(Phase):
    name = "started"
    title = "Power it on"

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        wanted = actual.maintenance is not None or (actual.reset is not None and not actual.reset.done)
        if not wanted or actual.ssh == "ok":
            return []
        return [self.change("power-on", "power on, boot from disk", f"ssh: {actual.ssh}, power: {actual.power}")]

    async def run(self, ctx: Context) -> None:
        """An override of the next boot that somebody left meanwhile is taken back."""
        async with ctx.bmc() as bmc:
            await check_identity(ctx, bmc)
            await ctx.call(bmc.clear_boot_once)
            await ctx.call(bmc.set_power, "on")

    def deadline(self, host: Host, timing: Timing) -> float:
        return 300
