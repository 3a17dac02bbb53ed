"""The machine asks the network what to boot, and the install ramdisk takes the grant."""

from __future__ import annotations

import time

from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.errors import PhaseFailed
from bmk.phases.attestation import unknown_tpm
from bmk.phases.console_attestation import reading_console
from bmk.plan import Actual, Change
from bmk.plan.wipe import needs_install, why_install


class Booting(Phase):
    name = "booting"
    title = "Boot the installer"
    needs = ("powered",)
    evidence_from = "powered"

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if not needs_install(host, actual) or (actual.grant is not None and actual.grant.claimed):
            return []
        return [self.change("boot", f"boot the install ramdisk over {host.profile.boot}", why_install(host, actual))]

    async def run(self, ctx: Context) -> None:
        async with reading_console(ctx):
            grant = await ctx.until(lambda: _taken(ctx))
            ctx.grant_id = grant.id
            if grant.claimed is None:
                raise unknown_tpm(ctx, grant) or PhaseFailed(
                    f"the grant ended before a ramdisk took it: {grant.outcome or 'expired'}",
                    where=ctx.host.name,
                    hint=f"bmk provision {ctx.run.dc.name}",
                )

    def deadline(self, host: Host, timing: Timing) -> float:
        return host.profile.boot_timeout


def _taken(ctx: Context) -> Grant | None:
    grant = grants.latest(ctx.run.journal, ctx.host.name)
    return grant if grant is not None and (grant.claimed or not grant.open_at(time.time())) else None
