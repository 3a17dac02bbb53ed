"""The deployer's kubeconfig is renewed with that of a control plane, and kubelets get what they rightly ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.run import Timing
from bmk.errors import BmkError
from bmk.phases.csr_approval import Approvals
from bmk.plan import Change
from bmk.plan.build import GroupView

_ADMINISTRATOR = "admin.conf"


class CredentialsRenewed(GroupPhase):
    name = "credentials_renewed"
    title = "Renew the deployer's kubeconfig"
    starts: ClassVar[Literal["first", "all"]] = "all"

    def plan(self, view: GroupView) -> list[Change]:
        cluster, changes = view.cluster, list[Change]()
        if cluster.requests:
            names = ", ".join(cluster.requests)
            changes.append(self.change("approve", f"approve certificates of {names}", "their kubelets asked for them"))
        why = cluster.kubeconfig
        if any(_ADMINISTRATOR in step.renew for member in view.members for step in member.actual.renewal):
            why = why or "that of a control plane is renewed"
        if why:
            changes.append(self.change("kubeconfig", "renew the deployer's kubeconfig", why))
        return changes

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        await ctx.call(ctx.run.services.renew_kubeconfig, ctx.name)
        ctx.emit("cluster.kubeconfig_renewed", f"the deployer's kubeconfig of {ctx.name} is a control plane's newest")
        approvals = Approvals(ctx.name, ctx.run.services.cluster(ctx.name), ctx.run.emit)
        await ctx.call(approvals.once)
        return {}

    def deadline(self, timing: Timing) -> float:
        return {"standard": 300, "emulated": 900}[timing]
