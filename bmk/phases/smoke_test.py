"""The cluster works: proven by real pods, once for all hosts that came this far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.run import Timing
from bmk.engine.services import Check
from bmk.errors import BmkError, PhaseFailed
from bmk.journal import Event
from bmk.plan import Change
from bmk.plan.build import GroupView

_NAMED = 5  # hosts that are named one by one


class SmokeTest(GroupPhase):
    name = "smoke_test"
    title = "Prove that the cluster works"
    needs = ("verified",)

    def plan(self, view: GroupView) -> list[Change]:
        new = [m.host.name for m in view.members if m.actual.ready is None or m.actual.ready.cluster != view.name]
        if not new:
            return []
        with_whom = ", ".join(new) if len(new) <= _NAMED else f"{len(new)} hosts"
        return [self.change("prove", "run the smoke test on every node", f"not proven with {with_whom}")]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        checks = await ctx.call(ctx.run.services.cluster(ctx.name).smoke)
        for check in checks:
            ctx.run.emit(_event(check))
        bad = [c for c in checks if not c.ok]
        if any(c.host is None for c in bad):
            raise _failure(ctx, ctx.name, bad)
        hosts = {c.host for c in bad if c.host is not None}
        return {host: _failure(ctx, host, [c for c in bad if c.host == host]) for host in hosts}

    def deadline(self, timing: Timing) -> float:
        return {"standard": 600, "emulated": 1800}[timing]


def _failure(ctx: GroupContext, where: str, bad: Sequence[Check]) -> PhaseFailed:
    return PhaseFailed(
        f"the smoke test failed: {', '.join(c.name for c in bad)}",
        where=where,
        why="\n".join(f"{c.name}: {c.detail}" for c in bad),
        hint=f"bmk kubeconfig {ctx.run.dc.name}, then kubectl get pods -A",
    )


def _event(check: Check) -> Event:
    data = {"name": check.name, "ok": check.ok, "detail": check.detail}
    text = f"smoke test: {check.name}: {'ok' if check.ok else 'FAILED'} {check.detail}".rstrip()
    level = "info" if check.ok else "error"
    return Event("cluster", "smoke.check", text, check.host, "smoke_test", level=level, data=data)  # type: ignore[arg-type]  # a Literal
