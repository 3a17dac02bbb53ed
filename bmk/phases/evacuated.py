"""Pods leave a node before its kubelet is upgraded; what was cordoned by a person is remembered."""

from __future__ import annotations

import time

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.journal.records import EvacuationRecord
from bmk.plan import Actual, Change

_REST = 60.0  # seconds of the deadline for everything but the drain


class Evacuated(Phase):
    name = "evacuated"
    title = "Let its pods leave"
    effects = Effects(drains=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        upgrade = actual.upgrade
        if upgrade is None or not upgrade.pending:
            return []
        if not upgrade.drains:
            return [self.change("stay", "leave its pods where they are", "there is no other node that could take them")]
        return [self.change("drain", "drain its node", f"its kubelet {upgrade.kubelet} is replaced")]

    async def run(self, ctx: Context) -> None:
        """On record first: from the first pod that leaves, this host is the upgrade's to bring back.

        A node that is not Ready stops no pod, so nobody waits for that: what began with it has to end first.
        """
        cluster, upgrade = ctx.run.services.cluster(ctx.host.cluster or ""), ctx.actual.upgrade
        if upgrade is None:
            return
        if EvacuationRecord.load(ctx.run.journal, ctx.host.name) is None:
            seen = (await ctx.call(cluster.versions)).get(ctx.host.name)
            known = EvacuationRecord(target=upgrade.target, cordoned=bool(seen and seen.cordoned), at=time.time())
            known.save(ctx.run.journal, ctx.host.name)
        if upgrade.drains and ctx.actual.node == "ready":
            await ctx.call(cluster.drain, ctx.host, self.deadline(ctx.host, ctx.timing) - _REST)
            ctx.emit("node.drained", "its pods have left")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 660, "emulated": 1260}[timing]
