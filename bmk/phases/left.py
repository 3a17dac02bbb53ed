"""A host leaves its cluster for good, whether it is alive or not: nobody counts on it any more."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import BmcError
from bmk.journal.records import MembershipRecord
from bmk.phases.identity import check_identity
from bmk.phases.removed import how, is_in, node_now, take_out
from bmk.plan import Actual, Change

_REST = 420.0  # seconds of the deadline for everything but the drain: a system has five minutes to shut down


class Left(Phase):
    name = "left"
    title = "Take it out of its cluster for good"
    effects = Effects(drains=True, leaves_etcd=True, invalidates=(MembershipRecord,))

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """Nothing when the cluster is to end: there is nobody who has to forget it."""
        if actual.retired is None or actual.reset is not None or host.cluster is None or not is_in(host, actual):
            return []
        return [self.change("leave", how(host, actual), _why(actual))]

    async def run(self, ctx: Context) -> None:
        """Its machine is identified first. One that does not answer ssh is off before its node goes: a kubelet that
        comes back would bring it back.
        """
        node = await node_now(ctx)
        try:
            async with ctx.bmc() as bmc:
                await check_identity(ctx, bmc)
                if node != "ready" and ctx.actual.ssh != "ok":
                    await ctx.call(bmc.set_power, "shutdown")
        except BmcError as error:
            if node == "ready" and ctx.actual.ssh != "ok":
                raise  # it lives, and nothing says which machine that is
            known = "its pinned ssh key says which machine it is" if ctx.actual.ssh == "ok" else "its node is not Ready"
            ctx.emit("bmc.unasked", f"its BMC is of no help ({error.what}); {known}", "warning")
        await take_out(ctx, self.deadline(ctx.host, ctx.timing) - _REST)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 1020, "emulated": 1620}[timing]


def _why(actual: Actual) -> str:
    alive = {"ready": "its node is Ready", "not-ready": "its node is not Ready"}.get(actual.node, "it is a member")
    reason = actual.retired.reason if actual.retired is not None else ""
    return f"{alive}; removed for good{f': {reason}' if reason else ''}"
