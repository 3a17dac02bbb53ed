"""A cluster that was reset is history, once Kubernetes is off all of its hosts: from then on a new one can be made."""

from __future__ import annotations

from collections.abc import Mapping

from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.run import Timing
from bmk.errors import BmkError
from bmk.journal import Event
from bmk.journal.installation import close
from bmk.journal.records import BackupRecord, ResetOrder
from bmk.plan import Change
from bmk.plan.build import GroupView


class Forgotten(GroupPhase):
    name = "forgotten"
    title = "Forget the cluster"
    needs = ("cleaned",)

    def plan(self, view: GroupView) -> list[Change]:
        ordered = [m.actual.reset for m in view.members if m.actual.reset is not None]
        if not ordered:
            return []
        text = "close its records, except of its backups, and remove the deployer's kubeconfig of it"
        return [self.change("forget", text, f"to be reset, by {ordered[0].by}")]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        """Nothing as long as a host of the file is not done: it might serve the old cluster beside the new one."""
        journal = ctx.run.journal
        orders = {n: o for n, o in ResetOrder.load_all(journal).items() if o.cluster == ctx.name}
        left = [h.name for h in ctx.hosts if h.name in orders and not orders[h.name].done]
        if left:
            ctx.emit("cluster.reset", f"not over yet: {', '.join(left)}", "warning")
            return {}
        await ctx.call(ctx.run.services.forget_kubeconfig, ctx.name)
        with journal.transaction():
            close(journal, ctx.name, {BackupRecord.KEY})
            for name in orders:
                ResetOrder.drop(journal, name)
                text = f"installed, and a member of nothing: cluster {ctx.name} was reset"
                journal.append(Event("bmk", "host.forgotten", text, name, run=ctx.run.id))
        ctx.emit("cluster.reset", f"cluster {ctx.name} is no more")
        return {}

    def deadline(self, timing: Timing) -> float:
        return 60
