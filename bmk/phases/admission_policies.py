"""The cluster's policies, and what bmk runs in it, are in its API as the data center file has them."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.plan import Actual, Change


class AdmissionPolicies(Phase):
    name = "admission_policies"
    title = "Put the policies in"
    needs = ("joined",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if host.role != "control_plane" or actual.policies == "current":
            return []
        why = {"stale": "missing or changed in the API", "unknown": "the API does not answer yet"}[actual.policies]
        return [self.change("guard", f"put the policies of cluster {host.cluster} in, and what bmk runs there", why)]

    async def run(self, ctx: Context) -> None:
        """One host after the other: whoever comes later finds them there."""
        async with ctx.waiting("waits for another control plane"):
            lock = ctx.run.lock(f"guard/{ctx.host.cluster}")
            await lock.acquire()
        try:
            put = await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").apply_policies)
        finally:
            lock.release()
        ctx.emit(
            "cluster.policies_applied", f"policies: {len(put)} put in" if put else "policies: all there", put=list(put)
        )

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 120, "emulated": 600}[timing]
