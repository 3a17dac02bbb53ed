"""Exceptions of a cluster: what the policies do not cover. They fail no control; every report lists them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bmk.hardening.evidence import ClusterEvidence
from bmk.hardening.network import unable
from bmk.hardening.policy import LABEL, mode_of, violations

_SECURITY = "pod-security.kubernetes.io/enforce"
_TOLD = {"audit": "group 0 is written down, not denied", "warn": "group 0 is warned of, not denied"}


@dataclass(frozen=True, slots=True)
class Exemption:
    """One exception.

    `kind`: static-pod, namespace, exempt, would-be-denied, node, unproven.
    """

    kind: str
    cluster: str
    what: str
    detail: str


def exceptions(seen: ClusterEvidence) -> list[Exemption]:
    """All of them, sorted."""
    found = [*_namespaces(seen), *_static_pods(seen), *_denied(seen), *_nodes(seen)]
    kernel = "its kernel has no queue of nftables: no NetworkPolicy holds on it"
    found += [Exemption("node", seen.name, node, kernel) for node in unable(seen.nodes)]
    return sorted(found, key=lambda e: (e.kind, e.what, e.detail))


def _namespaces(seen: ClusterEvidence) -> Iterator[Exemption]:
    for namespace in seen.namespaces:
        name, labels = namespace["metadata"]["name"], namespace["metadata"].get("labels") or {}
        mode = mode_of(name, labels, seen.settings["groups"])
        if mode == "exempt":
            yield Exemption("exempt", seen.name, name, "dc.yml exempts it from the policies against group 0")
        elif mode != "deny":
            yield Exemption("namespace", seen.name, name, _TOLD[mode])
        if labels.get(_SECURITY) in ("privileged", "baseline"):
            yield Exemption("namespace", seen.name, name, f"its label lowers Pod Security to {labels[_SECURITY]}")


def _static_pods(seen: ClusterEvidence) -> Iterator[Exemption]:
    """Static pods with group 0: the kubelet runs them from files, past admission."""
    for pod in seen.pods:
        wrong = violations(pod["spec"])
        if is_static(pod) and wrong:
            yield Exemption("static-pod", seen.name, _named(pod), "; ".join(wrong))


def _denied(seen: ClusterEvidence) -> Iterator[Exemption]:
    """Pods that would be refused if their namespace denied, by owner: whom to tell before deny is switched on."""
    groups: dict[tuple[str, str], list[str]] = {}
    labels = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in seen.namespaces}
    for pod in seen.pods:
        namespace = pod["metadata"]["namespace"]
        mode = mode_of(namespace, labels.get(namespace, {}), seen.settings["groups"])
        over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if mode == "exempt" or is_static(pod) or over:
            continue
        if wrong := violations(pod["spec"]):
            groups.setdefault((owner(pod), "; ".join(wrong)), []).append(_named(pod))
    for (who, why), pods in groups.items():
        yield Exemption("would-be-denied", seen.name, who, f"{len(pods)} pods: {why}")


def _nodes(seen: ClusterEvidence) -> Iterator[Exemption]:
    for node in seen.nodes:
        features = (node.get("status") or {}).get("features") or {}
        if not features.get("supplementalGroupsPolicy"):
            yield Exemption(
                "node",
                seen.name,
                node["metadata"]["name"],
                "its runtime does not know supplementalGroupsPolicy: Strict",
            )


def is_static(pod: Mapping[str, Any]) -> bool:
    """Whether a pod comes from a file on its node."""
    annotations = pod["metadata"].get("annotations") or {}
    return "kubernetes.io/config.mirror" in annotations


def owner(pod: Mapping[str, Any]) -> str:
    """`namespace/Kind/name` of the workload that owns the pod; of a ReplicaSet its Deployment, by its name."""
    namespace = pod["metadata"]["namespace"]
    owners = pod["metadata"].get("ownerReferences") or []
    if not owners:
        return f"{namespace}/Pod/{pod['metadata']['name']}"
    kind, name = owners[0]["kind"], owners[0]["name"]
    digest = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    if kind == "ReplicaSet" and digest and name.endswith(f"-{digest}"):
        kind, name = "Deployment", name.removesuffix(f"-{digest}")
    return f"{namespace}/{kind}/{name}"


def _named(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


HELP = f"kubectl label namespace NAME {LABEL}=deny"
