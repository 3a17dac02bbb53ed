"""Labels, taints and administrators of the cluster are as the file says again, when drift found them otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from bmk.datacenter.resolve import Host
from bmk.phases.base import Context, Phase
from bmk.phases.run import Timing
from bmk.plan import Actual, Change
from bmk.plan.actual import Drifted


class Restored(Phase):
    name = "restored"
    title = "Put back what drift found in the API"
    needs = ("verified",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        found = [d for d in actual.drift if d.repair == "api"]
        return [self.change("restore", _words(d), "drift") for d in found] if host.cluster is not None else []

    async def run(self, ctx: Context) -> None:
        found = [d for d in ctx.actual.drift if d.repair == "api"]
        await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").restore, found)
        ctx.run.journal.record(ctx.host.name, "restored", {"at": time.time()})
        for drifted in found:
            ctx.emit("drift.restored", _words(drifted))

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 120, "emulated": 600}[timing]


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
    if drifted.kind == "bindings":
        return f"delete the ClusterRoleBinding {drifted.id}, which nobody declared"
    return f"put right: {drifted.text}"
