"""Which images Kubernetes' own containers run, by digest and not by name, against those of the mirror. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from bmk.drift.model import Attributes, Desired, Facts

NAMESPACE = "kube-system"
# Containers that kubeadm makes, named as their images are. Others in its namespace are somebody else's.
_OURS = ("coredns", "etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")


class RunningImage(Protocol):
    """What of the mirror's record of an image is needed: `digest` of its manifest, `id` of its configuration (hex)."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def id(self) -> str: ...


def desired_images(mirror: Iterable[RunningImage]) -> Desired:
    """Nothing may run under these names but what the mirror holds; what runs where is Kubernetes' decision.

    Without a mirror on this machine nothing is known, and nothing is desired.
    """
    good = {f"images:{name}" for name in held(mirror)}
    return Desired(owned=("images:*",) if good else (), allowed=frozenset(good))


def held(mirror: Iterable[RunningImage]) -> list[str]:
    """Names with digests, as they are found."""
    return sorted(f"{i.name} {digest}" for i in mirror for digest in (i.digest, f"sha256:{i.id}"))


def with_builds(mirror: Desired, before: Collection[str], found: Facts) -> tuple[Desired, Facts]:
    """Both sides, where what the mirror held `before` is told as an earlier build: for that nobody broke in."""
    items = found.get("images", {})
    old = {name for name in items if name in before and f"images:{name}" not in mirror.allowed}
    if not old or not mirror.owned:
        return mirror, found
    seen = {name: {**a, "build": "an earlier one"} if name in old else a for name, a in items.items()}
    return replace(mirror, facts={"images": {name: {"build": "the mirror's"} for name in old}}), {"images": seen}


def image_facts(pods: Sequence[Mapping[str, Any]]) -> dict[str, Facts]:
    """By node: containers that run, with the digest that the runtime gives."""
    found: dict[str, dict[str, Attributes]] = {}
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or ():
            if status["name"] in _OURS and (status.get("state") or {}).get("running") is not None:
                digest = status["imageID"].rpartition("@")[2]
                found.setdefault(pod["spec"]["nodeName"], {})[f"{status['name']} {digest}"] = {"image": status["image"]}
    return {node: {"images": items} for node, items in found.items()}
