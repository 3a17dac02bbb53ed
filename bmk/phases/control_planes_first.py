"""Workers wait until every API server of their cluster has the new version: no kubelet may be newer than one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.rollout import NotBegun
from bmk.engine.run import Timing
from bmk.errors import BmkError
from bmk.journal.records import UpgradeRecord
from bmk.plan import Change
from bmk.plan.build import GroupView
from bmk.upgrade.versions import version


class ControlPlanesFirst(GroupPhase):
    name = "control_planes_first"
    title = "See every API server at the new version"

    def holds_up(self, host: Host) -> bool:
        return host.role == "worker"

    def plan(self, view: GroupView) -> list[Change]:
        workers = [m for m in view.members if m.host.role == "worker" and m.actual.upgrade is not None]
        if not workers:
            return []
        text = f"workers follow when every API server has {view.cluster.upgrade}"
        return [self.change("order", text, "no kubelet may be newer than an API server")]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        async with ctx.waiting("waits for the control planes"):
            while ctx.run.batches.coming(planes_of(ctx.name)):
                await asyncio.sleep(ctx.run.limits.backoff)
        known = UpgradeRecord.load(ctx.run.journal, ctx.name)
        target, without = (known.target, known.without) if known else ("", ())
        seen = await ctx.call(ctx.run.services.cluster(ctx.name).versions)
        planes = [h.name for h in ctx.hosts if h.role == "control_plane" and h.name in seen and h.name not in without]
        behind = [name for name in planes if version(seen[name].api_server) != version(target)]
        if behind or not planes:
            names = ", ".join(behind) or "not one of them is seen"
            raise NotBegun(
                f"not begun: not every API server has {target}",
                where=ctx.name,
                why=f"control planes that have not: {names}",
                hint=f"bmk why {ctx.run.dc.name} {next(iter(behind), ctx.name)}; the same command goes on",
            )
        return {}

    def deadline(self, timing: Timing) -> float:
        return {"standard": 120, "emulated": 600}[timing]


def planes_of(cluster: str) -> str:
    """The batch in which the control planes of a cluster are expected that a run upgrades."""
    return f"upgrade/{cluster}"
