"""The node is Ready and its kubelet's certificate is approved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import Unreachable
from bmk.phases.csr_approval import Approvals
from bmk.plan import Actual, Change
from bmk.plan.actual import NodeState

ASK_KUBELET = 60.0  # seconds without a Ready node after which its kubelet is asked for its last error


class Verified(Phase):
    name = "verified"
    title = "See the node Ready"
    needs = ("joined",)
    effects = Effects(returns=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """Ready is not enough: without a certificate of the cluster nobody reads a log or runs a command there."""
        if host.cluster is None or (actual.node == "ready" and actual.serving):
            return []
        why = f"node: {actual.node}" if actual.node != "ready" else "its kubelet shows no certificate of the cluster"
        return [self.change("verify", "approve its certificate, wait until the node is Ready", why)]

    async def run(self, ctx: Context) -> None:
        before, asked = "", time.monotonic()
        while (state := (await _look(ctx)).get(ctx.host.name, "absent")) != "ready":
            if state != before:
                ctx.emit("node.state", f"node is {state}", "debug", state=state)
            before = state
            if time.monotonic() - asked > ASK_KUBELET:
                await ask_kubelet(ctx)
                asked = time.monotonic()
            await asyncio.sleep(ctx.run.limits.backoff)
        ctx.emit("node.state", "node is Ready", state=state)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 300, "emulated": 900}[timing]


async def ask_kubelet(ctx: Context) -> None:
    """Journal what keeps the kubelet from it, so that a deadline can name it."""
    said = await ctx.call(ctx.run.services.kubelet_error, ctx.host)
    if said:
        ctx.emit("kubelet.error", f"the kubelet says: {said}", "debug")


async def _look(ctx: Context) -> Mapping[str, NodeState]:
    """Approve what waits and read the nodes: one host asks, all that wait at the same time share the answer."""
    name = ctx.host.cluster or ""

    async def ask(hosts: tuple[str, ...]) -> Mapping[str, Mapping[str, NodeState]]:
        states = await ctx.call(_ask, ctx, hosts)
        return dict.fromkeys(hosts, states)

    answer: Mapping[str, NodeState] = await ctx.run.batches.join(f"look/{name}", ctx.host.name, ask)
    return answer


def _ask(ctx: Context, hosts: tuple[str, ...]) -> Mapping[str, NodeState]:
    cluster = ctx.run.services.cluster(ctx.host.cluster or "")
    try:
        Approvals(ctx.host.cluster or "", cluster, ctx.run.emit).once()
        serving = cluster.serving([ctx.run.dc.hosts[h] for h in hosts])
        states = cluster.nodes()
        return {h: "not-ready" if s == "ready" and h in hosts and h not in serving else s for h, s in states.items()}
    except Unreachable as error:  # an API server restarts while control planes join; the deadline still counts
        ctx.emit("api.silent", error.what, "debug")
        return {}
