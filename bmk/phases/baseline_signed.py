"""A signed baseline of what the converge left: drift is compared with it."""

from __future__ import annotations

from collections.abc import Mapping

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.errors import BmkError
from bmk.plan import Actual, Change


class BaselineSigned(Phase):
    name = "baseline"
    title = "Sign the baseline"
    needs = ("configured",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if host.role == "spare" or (actual.baseline and not _will_change(host, actual)):
            return []
        return [self.change("baseline", "sign a baseline, which drift is compared with", "a converge ends with it")]

    def batch_key(self, host: Host) -> str | None:
        return "baseline" if host.role != "spare" else None

    async def run(self, ctx: Context) -> None:
        async def work(hosts: tuple[str, ...]) -> Mapping[str, BmkError | None]:
            return await ctx.call(ctx.run.services.sign_baselines, hosts)

        async with ctx.waiting("waits for its batch (baseline)"):
            error: BmkError | None = await ctx.run.batches.join("baseline", ctx.host.name, work)
        if error is not None:
            raise error
        ctx.emit("host.baseline_signed", "its baseline is signed")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 300, "emulated": 900}[timing]


def _will_change(host: Host, actual: Actual) -> bool:
    """Whether a phase before this one has something to do that leaves traces on the host."""
    joins = host.cluster is not None and (actual.joined is None or actual.node == "absent")
    repairs = bool(actual.suspect) or any(d.repair == "converge" for d in actual.drift)
    return joins or repairs or actual.converged != "current"
