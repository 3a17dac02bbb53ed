"""Certificates that have ended already are renewed at once, everywhere, and nothing is started again yet.

A cluster whose certificates have ended cannot say whether etcd is well, and so gives no control plane its turn. etcd
and the API server read their files at each handshake: with new ones they speak with each other again.
"""

from __future__ import annotations

import time

from bmk.certificates.renewal import RenewStep, ended
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.errors import PhaseFailed
from bmk.plan import Actual, Change


class EndedRenewed(Phase):
    name = "ended_renewed"
    title = "Renew what has ended"

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        names = ", ".join(actual.ended)
        return [self.change("renew", f"renew {names}, without a restart", "they have ended")] if names else []

    async def run(self, ctx: Context) -> None:
        services = ctx.run.services
        names = await _ended(ctx)
        if not names:
            return
        ctx.emit("certificates.renewing", f"renew {', '.join(names)}", names=list(names), program="")
        await ctx.call(services.renew_certificates, ctx.host, RenewStep("", names))
        left = await _ended(ctx)
        if left:
            raise PhaseFailed(
                f"renewed, and ended all the same: {', '.join(left)}",
                where=ctx.host.name,
                why="its clock may be wrong",
                hint=f"bmk ssh {ctx.run.dc.name} {ctx.host.name} date; then: bmk certs renew {ctx.run.dc.name}",
            )

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 600, "emulated": 1800}[timing]


async def _ended(ctx: Context) -> tuple[str, ...]:
    return ended((await ctx.call(ctx.run.services.certificates, ctx.host)).standings, time.time())
