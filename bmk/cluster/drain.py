"""Draining a node: its pods are evicted as their disruption budgets allow. The choice of pods is pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bmk.cluster.api import Api
from bmk.errors import PhaseFailed

_PAUSE = 2.0  # seconds between two rounds
_NAMED = 10  # pods that an error names


@dataclass(frozen=True, slots=True)
class Evictee:
    """A pod that has to leave. `owned`: a controller makes another one elsewhere."""

    namespace: str
    name: str
    owned: bool

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" + ("" if self.owned else " (no controller makes it anew)")


def evictees(pods: Sequence[Mapping[str, Any]]) -> list[Evictee]:
    """Pods that keep a node from being empty: not those of a DaemonSet, of the kubelet itself, or that have ended."""
    found = []
    for pod in pods:
        meta = pod.get("metadata") or {}
        owners = {str(o.get("kind")) for o in meta.get("ownerReferences") or () if o.get("controller")}
        mirror = "kubernetes.io/config.mirror" in (meta.get("annotations") or {})
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if not (mirror or ended or "DaemonSet" in owners):
            found.append(Evictee(str(meta.get("namespace", "")), str(meta.get("name", "")), bool(owners)))
    return found


def uncordon(api: Api, node: str) -> None:
    """Let pods come to it again."""
    api.nodes.patch(node, {"spec": {"unschedulable": None}})


def drain(api: Api, node: str, seconds: float) -> None:
    """Cordon the node and evict what is on it. Raises PhaseFailed with the pods that are left after `seconds`."""
    api.nodes.patch(node, {"spec": {"unschedulable": True}})
    end, held = time.monotonic() + seconds, dict[Evictee, str]()
    while left := evictees(api.pods.on_node(node)):
        held = {pod: api.pods.evict(pod.namespace, pod.name) for pod in left}
        if time.monotonic() >= end:
            raise PhaseFailed(
                f"{len(left)} pods did not leave node {node} in {seconds:.0f} s",
                where=node,
                why="; ".join(f"{pod}: {held[pod] or 'is being stopped'}" for pod in left[:_NAMED]),
                hint="the node stays cordoned; let these pods go, then the same command goes on",
            )
        time.sleep(_PAUSE)
