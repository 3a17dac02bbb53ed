"""The BMC answers and is that of the machine in the file."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.identity import same_serial
from bmk.phases.identity import register
from bmk.plan import Actual, Change


class Registered(Phase):
    name = "registered"
    title = "Check the machine's identity"

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        known = actual.identity
        if known is None:
            return [self.change("register", f"read identity from BMC {host.bmc_address}", "never seen")]
        if same_serial(known.get("serial"), host.serial) is False:
            return [self.change("register", f"read identity from BMC {host.bmc_address}", f"was {known['serial']}")]
        return []

    async def run(self, ctx: Context) -> None:
        async with ctx.bmc() as bmc:
            await register(ctx, bmc)

    def deadline(self, host: Host, timing: Timing) -> float:
        return 240  # a BMC may restart itself: longer than the patience of one call
