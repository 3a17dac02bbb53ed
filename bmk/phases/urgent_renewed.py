"""Certificates that have ended, or would end while a run goes on, are renewed at once, everywhere, without a restart.

A cluster whose certificates have ended cannot say whether etcd is well, and so gives no control plane its turn. etcd
and the API server read their files at each handshake: with new ones they speak with each other again.
"""

from __future__ import annotations

import time

from bmk.certificates.renewal import RenewStep, urgent
from bmk.certificates.standing import CertificateStanding
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.errors import PhaseFailed
from bmk.plan import Actual, Change


class UrgentRenewed(Phase):
    name = "urgent_renewed"
    title = "Renew what has ended or is about to"

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        names = ", ".join(actual.urgent)
        why = "they have ended, or end within the hour that a run may take"
        return [self.change("renew", f"renew {names}, without a restart", why)] if names else []

    async def run(self, ctx: Context) -> None:
        services = ctx.run.services
        names = urgent(await _standings(ctx), time.time())
        if not names:
            return
        step = RenewStep("", names)
        ctx.emit("certificates.renewing", str(step), names=list(names), program="")
        await ctx.call(services.renew_certificates, ctx.host, step)
        left = urgent(await _standings(ctx), time.time(), 0)
        ctx.emit("certificates.renewed", f"done: {step}", names=list(names), program="")
        if left:
            raise PhaseFailed(
                f"renewed, and ended all the same: {', '.join(left)}",
                where=ctx.host.name,
                why="its clock may be wrong",
                hint=f"bmk ssh {ctx.run.dc.name} {ctx.host.name} date; then: bmk certs renew {ctx.run.dc.name}",
            )

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 600, "emulated": 1800}[timing]


async def _standings(ctx: Context) -> tuple[CertificateStanding, ...]:
    return (await ctx.call(ctx.run.services.certificates, ctx.host)).standings
