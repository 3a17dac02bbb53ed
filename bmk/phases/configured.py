"""Baseline, container runtime and kubelet are as the roles say."""

from __future__ import annotations

import time

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.journal.records import ConvergeRecord, SuspectRecord
from bmk.phases.playbooks import converge, playbook
from bmk.plan import Actual, Change


class Configured(Phase):
    name = "configured"
    title = "Configure it"
    needs = ("reachable",)
    effects = Effects(restarts=("etcd", "kube-apiserver"), invalidates=(SuspectRecord,))

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        drift = [d.text for d in actual.drift if d.repair == "converge"]
        wrong = (*actual.suspect, *drift)
        if host.role == "spare" or (actual.converged == "current" and not wrong):
            return []
        if actual.converged == "current" and drift:
            return [self.change("repair", f"put right: {'; '.join(drift)}", "drift")]
        why = {
            "current": f"found wrong since: {', '.join(actual.suspect)}",
            "never": "never configured",
            "stale": "the file or the roles changed since",
        }[actual.converged]
        return [self.change("configure", "apply baseline, container runtime and kubelet", why)]

    def batch_key(self, host: Host) -> str | None:
        return "configured" if host.role != "spare" else None

    async def run(self, ctx: Context) -> None:
        wanted = await ctx.call(ctx.run.services.wanted, ctx.host)
        result = await converge(ctx, "configured", playbook(ctx, "configure.yml"), self.deadline(ctx.host, ctx.timing))
        ConvergeRecord(digest=wanted, at=time.time()).save(ctx.run.journal, ctx.host.name)
        ctx.emit("host.configured", f"{result.changed} tasks changed something", changed=result.changed)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 1800, "emulated": 3600}[timing]
