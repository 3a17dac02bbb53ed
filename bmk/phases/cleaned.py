"""A host that left its cluster can serve nobody any more: what ran has ended, credentials and data are gone."""

from __future__ import annotations

from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.engine.services import Converge, Converged
from bmk.journal.installation import OF_THE_MACHINE, close
from bmk.journal.records import InstallationRecord, ResetOrder
from bmk.phases.playbooks import converge
from bmk.plan import Actual, Change

_TEXT = "end what runs there, remove kubeadm's data, etcd's data and all credentials; its disk is not wiped"


class Cleaned(Phase):
    name = "cleaned"
    title = "Take Kubernetes off it"
    needs = ("left",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """Off one that is retired, as long as it answers; off all hosts of a cluster that ends."""
        if actual.retired is not None:
            there = host.cluster is not None and actual.ssh == "ok"
            return [self.change("clean", _TEXT, "it answers ssh")] if there else []
        if actual.reset is None or actual.reset.done:
            return []
        return [self.change("clean", _TEXT, f"cluster {actual.reset.cluster} is to end")]

    def batch_key(self, host: Host) -> str | None:
        return "cleaned"

    async def run(self, ctx: Context) -> None:
        for_good = ctx.actual.retired is not None

        async def work(hosts: tuple[str, ...]) -> Mapping[str, Converged]:
            request = Converge(ctx.phase, "leave.yml", hosts, {"bmk_for_good": for_good})
            return await ctx.run.services.converge(request, ctx.run.emit)

        await converge(ctx, "cleaned", work, self.deadline(ctx.host, ctx.timing))
        ctx.emit("host.cleaned", "nothing of Kubernetes runs there, and no credential is left")
        if not for_good and ctx.actual.reset is not None:
            _close_membership(ctx, ctx.actual.reset)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 600, "emulated": 1800}[timing]


def _close_membership(ctx: Context, order: ResetOrder) -> None:
    """What is known of its installation stays; what is known of it as a member is history."""
    journal, host = ctx.run.journal, ctx.host.name
    with journal.transaction():
        close(journal, host, OF_THE_MACHINE | {"host_keys", InstallationRecord.KEY})
        order.model_copy(update={"done": True}).save(journal, host)
