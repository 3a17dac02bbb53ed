"""The host is done: its cluster was proven to work with it."""

from __future__ import annotations

import time

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.journal.installation import finish_reinstall
from bmk.journal.records import ProofRecord
from bmk.plan import Actual, Change


class Ready(Phase):
    name = "ready"
    title = "Record that it works"
    needs = ("smoke_test",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.ready is not None and actual.ready.cluster == host.cluster:
            return []
        text = "record that it is Ready" if host.cluster else "record it as done: a spare joins nothing"
        return [self.change("prove", text, "not proven yet")]

    async def run(self, ctx: Context) -> None:
        ProofRecord(cluster=ctx.host.cluster, at=time.time()).save(ctx.run.journal, ctx.host.name)
        finish_reinstall(ctx.run.journal, ctx.host.name)
        ctx.emit("host.ready", "Ready" if ctx.host.cluster else "installed and configured, a spare")

    def deadline(self, host: Host, timing: Timing) -> float:
        return 60
