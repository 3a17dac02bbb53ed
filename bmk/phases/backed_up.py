"""A backup of the cluster is taken and proven before anything of it is upgraded: there is no other way back."""

from __future__ import annotations

from collections.abc import Mapping

from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.run import Timing
from bmk.errors import BmkError
from bmk.journal.records import UpgradeRecord
from bmk.plan import Change
from bmk.plan.build import GroupView


class BackedUp(GroupPhase):
    name = "backed_up"
    title = "Take a backup and prove it"
    starts = "first"

    def plan(self, view: GroupView) -> list[Change]:
        """Once for each upgrade, however often it is continued."""
        if not view.cluster.upgrade or not view.cluster.unsaved:
            return []
        return [self.change("backup", "take a backup and prove it", "what newer servers write, older ones do not read")]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        name = await ctx.call(ctx.run.services.back_up, ctx.name)
        known = UpgradeRecord.load(ctx.run.journal, ctx.name)
        if known is not None:
            known.model_copy(update={"backup": name}).save(ctx.run.journal, ctx.name)
        ctx.emit("upgrade.backed_up", f"cluster {ctx.name}: {name} is proven", backup=name)
        return {}

    def deadline(self, timing: Timing) -> float:
        return {"standard": 3600, "emulated": 7200}[timing]
