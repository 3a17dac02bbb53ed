"""A host in maintenance is off: its system was asked to shut down, and no power is cut unless a person allowed it."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import BmcIgnores, PhaseFailed
from bmk.phases.identity import check_identity
from bmk.plan import Actual, Change


class ShutDown(Phase):
    name = "shut_down"
    title = "Shut it down"
    needs = ("drained",)
    effects = Effects(away=True, leaves=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.maintenance is None or actual.power == "off":
            return []
        cut = ", cut its power when it does not" if actual.maintenance.cut else ""
        return [self.change("shut-down", f"ask its system to shut down{cut}", f"maintenance: power is {actual.power}")]

    async def run(self, ctx: Context) -> None:
        order = ctx.actual.maintenance
        async with ctx.bmc() as bmc:
            await check_identity(ctx, bmc)
            try:
                await ctx.call(bmc.set_power, "shutdown" if order is not None and order.cut else "ask-off")
            except BmcIgnores as error:
                dc, host = ctx.run.dc.name, ctx.host.name
                hint = f"bmk console {dc} {host}; then: bmk maintenance {dc} {host} on --cut cuts its power"
                raise PhaseFailed(error.what, where=host, why=error.why, hint=hint) from error
        ctx.emit("host.maintenance", "in maintenance: drained and off")

    def deadline(self, host: Host, timing: Timing) -> float:
        return 900  # a system has five minutes, and the BMC may restart itself meanwhile
