"""The cluster works: proven by real pods, once for all hosts that came this far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.engine.services import Check
from bmk.errors import PhaseFailed
from bmk.journal import Event
from bmk.plan import Actual, Change


class Ready(Phase):
    name = "ready"
    title = "Prove that it works"
    needs = ("verified",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.ready is not None and actual.ready.get("cluster") == host.cluster:
            return []
        text = (
            f"run the smoke test of cluster {host.cluster}" if host.cluster else "mark as done: a spare joins nothing"
        )
        return [self.change("prove", text, "not proven yet")]

    def batch_key(self, host: Host) -> str | None:
        return _key(host) if host.cluster else None

    async def run(self, ctx: Context) -> None:
        if ctx.host.cluster is not None:
            await self._smoke(ctx)
        ctx.run.journal.record(ctx.host.name, "ready", {"cluster": ctx.host.cluster, "at": time.time()})
        ctx.emit("host.ready", "Ready" if ctx.host.cluster else "installed and configured, a spare")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 600, "emulated": 1800}[timing]

    async def _smoke(self, ctx: Context) -> None:
        async def prove(hosts: tuple[str, ...]) -> Mapping[str, Sequence[Check]]:
            async with asyncio.timeout(self.deadline(ctx.host, ctx.timing)):
                checks = await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").smoke)
            for check in checks:
                ctx.run.emit(_event(check))
            return dict.fromkeys(hosts, checks)

        async with ctx.waiting("waits for the other hosts of its cluster"):
            checks = await ctx.run.batches.join(_key(ctx.host), ctx.host.name, prove, all_of_them=True)
        bad = [c for c in checks if not c.ok and c.host in (None, ctx.host.name)]
        if bad:
            raise PhaseFailed(
                f"the smoke test failed: {', '.join(c.name for c in bad)}",
                where=ctx.host.name,
                why="\n".join(f"{c.name}: {c.detail}" for c in bad),
                hint=f"bmk kubeconfig {ctx.run.dc.name}, then kubectl get pods -A",
            )


def _key(host: Host) -> str:
    return f"ready/{host.cluster}"


def _event(check: Check) -> Event:
    data = {"name": check.name, "ok": check.ok, "detail": check.detail}
    text = f"smoke test: {check.name}: {'ok' if check.ok else 'FAILED'} {check.detail}".rstrip()
    return Event("cluster", "smoke.check", text, check.host, "ready", level="info" if check.ok else "error", data=data)
