"""The installed system answers ssh with the key that was pinned at its installation."""

from __future__ import annotations

import asyncio

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.journal.events import Level
from bmk.plan import Actual, Change
from bmk.plan.actual import SshState


class Reachable(Phase):
    name = "reachable"
    title = "Reach it by ssh"
    needs = ("installed",)
    evidence_from = "installed"

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.ssh == "ok" or (actual.reset is not None and actual.reset.done):
            return []
        return [self.change("reach", f"log in to {host.address} with its pinned key", f"ssh: {actual.ssh}")]

    async def run(self, ctx: Context) -> None:
        before: SshState = "unknown"
        while (state := await ctx.call(ctx.run.services.ssh, ctx.host)) != "ok":
            if state != before:
                level: Level = "error" if state == "wrong-key" else "debug"
                ctx.emit(f"ssh.{state}", f"ssh to {ctx.host.address}: {state}", level)
            before = state
            await asyncio.sleep(ctx.run.limits.backoff)

    def deadline(self, host: Host, timing: Timing) -> float:
        # after its firmware, a whole system starts for the first time: three times the instructions of a ramdisk
        return host.profile.boot_timeout * (2 if timing == "emulated" else 1)
