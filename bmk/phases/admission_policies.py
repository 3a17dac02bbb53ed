"""The cluster's policies, and what bmk runs in it, are in its API as the data center file has them."""

from __future__ import annotations

from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.run import Timing
from bmk.errors import BmkError
from bmk.plan import Change
from bmk.plan.build import GroupView


class AdmissionPolicies(GroupPhase):
    name = "admission_policies"
    title = "Put the policies in"
    needs = ("joined",)
    starts = "first"

    def holds_up(self, host: Host) -> bool:
        """Workers do not need them to become Ready, so what is wrong with them is not theirs."""
        return host.role == "control_plane"

    def plan(self, view: GroupView) -> list[Change]:
        """Only when a control plane is among the hosts: a run that is about workers leaves the API's objects alone."""
        if view.cluster.policies == "current" or not any(m.host.role == "control_plane" for m in view.members):
            return []
        whys = {"stale": "missing or changed in the API", "unknown": "the API does not answer yet"}
        why = whys[view.cluster.policies]
        return [self.change("policies", "put the admission policies in, and what bmk runs in the cluster", why)]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        put = await ctx.call(ctx.run.services.cluster(ctx.name).apply_policies)
        what = f"{len(put)} put in" if put else "all there"
        ctx.emit("cluster.policies_applied", f"policies of cluster {ctx.name}: {what}", put=list(put))
        return {}

    def deadline(self, timing: Timing) -> float:
        return {"standard": 120, "emulated": 600}[timing]
