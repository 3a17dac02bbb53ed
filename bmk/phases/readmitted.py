"""An upgraded host is Ready, proven by pods of its own, and takes pods of others again."""

from __future__ import annotations

import time

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import PhaseFailed
from bmk.journal.records import EvacuationRecord, UpgradeRecord
from bmk.phases.control_planes_first import planes_of
from bmk.phases.upgraded import server_lacks
from bmk.phases.verified import ASK_KUBELET, ask_kubelet
from bmk.plan import Actual, Change
from bmk.upgrade.model import NodeVersions
from bmk.upgrade.versions import version


class Readmitted(Phase):
    name = "readmitted"
    title = "Prove it and let pods in"
    needs = ("upgraded",)
    effects = Effects(returns=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.upgrade is None:
            return []
        text = f"see it Ready with {actual.upgrade.target}, run the smoke test on it, let pods in"
        return [self.change("readmit", text, "it was taken away to be upgraded")]

    def batch_key(self, host: Host) -> str | None:
        return planes_of(host.cluster or "") if host.role == "control_plane" else None

    async def run(self, ctx: Context) -> None:
        cluster, journal = ctx.run.services.cluster(ctx.host.cluster or ""), ctx.run.journal
        await _ready(ctx)
        await _proven(ctx)
        known = EvacuationRecord.load(journal, ctx.host.name)
        if known is not None and not known.cordoned:
            await ctx.call(cluster.uncordon, ctx.host)
        with journal.transaction():
            EvacuationRecord.drop(journal, ctx.host.name)
            _count(ctx)
        ctx.emit("host.readmitted", f"runs {ctx.actual.upgrade.target if ctx.actual.upgrade else ''} and takes pods")
        ctx.run.batches.arrive(planes_of(ctx.host.cluster or ""), ctx.host.name)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 900, "emulated": 3600}[timing]


def _count(ctx: Context) -> None:
    known = UpgradeRecord.load(ctx.run.journal, ctx.host.cluster or "")
    if known is not None and ctx.host.name not in known.done:
        done = (*known.done, ctx.host.name)
        known.model_copy(update={"done": done}).save(ctx.run.journal, ctx.host.cluster or "")


async def _ready(ctx: Context) -> None:
    """Wait for its node as the upgrade has to leave it."""
    cluster, asked = ctx.run.services.cluster(ctx.host.cluster or ""), time.monotonic()
    target = ctx.actual.upgrade.target if ctx.actual.upgrade else ""

    async def lacks() -> str:
        nonlocal asked
        seen = (await ctx.call(cluster.versions)).get(ctx.host.name)
        text = (server_lacks(seen, target) if ctx.host.role == "control_plane" else "") or node_lacks(seen, target)
        if text and time.monotonic() - asked > ASK_KUBELET:
            await ask_kubelet(ctx)
            asked = time.monotonic()
        return text

    await ctx.poll(lacks, "upgrade.waiting")


def node_lacks(seen: NodeVersions | None, target: str) -> str:
    """What a node is without before it can take pods; "" for nothing."""
    if seen is None:
        return "the API does not know its node"
    if version(seen.kubelet) != version(target):
        return f"its kubelet says {seen.kubelet[:40]}, not {target}"
    return "" if seen.ready else "its node is not Ready"


async def _proven(ctx: Context) -> None:
    """The smoke test on this node; one at a time in a cluster, as it has one namespace."""
    lock = ctx.run.lock(f"smoke/{ctx.host.cluster}")
    async with ctx.waiting("waits for the smoke test of another node"):
        await lock.acquire()
    try:
        checks = await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").smoke, ctx.host)
    finally:
        lock.release()
    bad = [check for check in checks if not check.ok]
    if bad:
        raise PhaseFailed(
            f"the smoke test failed on it: {', '.join(c.name for c in bad)}",
            where=ctx.host.name,
            why="\n".join(f"{c.name}: {c.detail}" for c in bad),
            hint="it stays cordoned; when it is mended, the same command goes on",
        )
