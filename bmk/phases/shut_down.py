"""A host in maintenance or removed is off: its system was asked to shut down.

The power of one in maintenance is not cut unless a person allowed it.
"""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import BmcError, BmcIgnores, PhaseFailed
from bmk.phases.identity import check_identity
from bmk.plan import Actual, Change


class ShutDown(Phase):
    name = "shut_down"
    title = "Shut it down"
    needs = ("drained",)
    effects = Effects(away=True, leaves=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if (actual.maintenance is None and actual.retired is None) or actual.power == "off":
            return []
        cut = ", cut its power when it does not" if _may_cut(actual) else ""
        return [self.change("shut-down", f"ask its system to shut down{cut}", f"power: {actual.power}")]

    async def run(self, ctx: Context) -> None:
        try:
            async with ctx.bmc() as bmc:
                await check_identity(ctx, bmc)
                await ctx.call(bmc.set_power, "shutdown" if _may_cut(ctx.actual) else "ask-off")
        except BmcError as error:
            if ctx.actual.retired is None and not isinstance(error, BmcIgnores):
                raise
            raise PhaseFailed(error.what, where=error.where, why=error.why, hint=_hint(ctx)) from error
        ctx.emit("host.off", "it is off")

    def deadline(self, host: Host, timing: Timing) -> float:
        return 900  # a system has five minutes, and the BMC may restart itself meanwhile


def _may_cut(actual: Actual) -> bool:
    return actual.retired is not None or (actual.maintenance is not None and actual.maintenance.cut)


def _hint(ctx: Context) -> str:
    dc, host = ctx.run.dc.name, ctx.host.name
    if ctx.actual.retired is not None:
        return f"switch it off by hand and take {host} out of dc.yml; or mend its BMC, then: bmk remove {dc} {host}"
    return f"bmk console {dc} {host}; then: bmk maintenance {dc} {host} on --cut cuts its power"
