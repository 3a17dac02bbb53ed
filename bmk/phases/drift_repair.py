"""Labels, taints and administrators of the cluster are as the file says again, and the machine boots from its disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.journal.records import DriftRepairRecord
from bmk.phases.identity import check_identity
from bmk.plan import Actual, Change
from bmk.plan.actual import Drifted


class DriftRepair(Phase):
    name = "drift_repair"
    title = "Put back what drift found in the API and the BMC"
    needs = ("verified",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        """An override while a grant is open is for the installation that it permits."""
        found = [*_of_api(actual), *(_of_bmc(actual) if actual.grant is None else ())]
        return [self.change("restore", _words(d), "drift") for d in found]

    async def run(self, ctx: Context) -> None:
        api, bmc = _of_api(ctx.actual), _of_bmc(ctx.actual)
        if api:
            await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").repair_drift, api)
        if bmc:
            await _boot_from_disk(ctx)
        DriftRepairRecord(at=time.time()).save(ctx.run.journal, ctx.host.name)
        for drifted in (*api, *bmc):
            ctx.emit("drift.repaired", _words(drifted))

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 300, "emulated": 600}[timing]


def _of_api(actual: Actual) -> list[Drifted]:
    return [d for d in actual.drift if d.repair == "api"]


def _of_bmc(actual: Actual) -> list[Drifted]:
    """Where the next boot goes. A machine that is off is another phase's work."""
    return [d for d in actual.drift if d.repair == "bmc" and d.id == "boot"]


async def _boot_from_disk(ctx: Context) -> None:
    """Nothing is written to the BMC of another machine."""
    async with ctx.bmc() as bmc:
        await check_identity(ctx, bmc)
        await ctx.call(bmc.clear_boot_once)


def node_patches(nodes: Mapping[str, Mapping[str, Any]], found: Sequence[Drifted]) -> dict[str, dict[str, Any]]:
    """Merge patches that put labels and taints back. Pure."""
    patches: dict[str, dict[str, Any]] = {}
    for drifted in found:
        name, _, rest = drifted.id.partition(" ")
        kind, _, what = rest.partition(" ")
        if drifted.kind != "nodes" or name not in nodes:
            continue
        patch = patches.setdefault(name, {})
        if kind == "label":
            patch.setdefault("metadata", {}).setdefault("labels", {})[what] = _wanted_value(drifted)
        elif kind == "taint":
            before = patch.get("spec", {}).get("taints", nodes[name].get("spec", {}).get("taints") or [])
            patch["spec"] = {"taints": _taints(before, what, drifted)}
    return patches


def _taints(before: Sequence[Mapping[str, Any]], what: str, drifted: Drifted) -> list[dict[str, Any]]:
    key, _, effect = what.rpartition(":")
    others = [dict(t) for t in before if (t["key"], t["effect"]) != (key, effect)]
    value = _wanted_value(drifted)
    if drifted.want is None:
        return others
    return [*others, {"key": key, "effect": effect, **({"value": value} if value else {})}]


def _wanted_value(drifted: Drifted) -> str | None:
    """A missing item wants `value x`; one that is there and wrong wants `x`; one too many wants nothing."""
    if drifted.want is None:
        return None
    return str(drifted.want) if drifted.field else str(drifted.want).removeprefix("value").strip()


def _words(drifted: Drifted) -> str:
    if drifted.kind == "bindings" and drifted.want is None and not drifted.field:
        kind = "RoleBinding" if "/" in drifted.id else "ClusterRoleBinding"
        return f"delete the {kind} {drifted.id}, which nobody declared"
    if drifted.repair == "bmc":
        return f"take the boot override back: {drifted.text}"
    return f"put right: {drifted.text}"
