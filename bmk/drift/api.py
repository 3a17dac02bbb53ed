"""What bmk owns in a cluster: nodes with their labels, taints and version, and who is administrator. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bmk.datacenter.resolve import DataCenter
from bmk.drift.model import Attributes, Desired, Facts

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_LIFE = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")  # taints that Kubernetes gives and takes
ADMINISTRATORS = frozenset({"bindings:cluster-admin", "bindings:kubeadm:cluster-admins"})


def desired_nodes(dc: DataCenter, cluster: str, host: str) -> Desired:
    """What the API should say of one member."""
    member = dc.hosts[host]
    version = f"v{dc.cluster(cluster).kubernetes.version}"
    items: dict[str, Attributes] = {host: {"version": version, "unschedulable": False}}
    items |= {f"{host} label {key}": {"value": value} for key, value in member.labels.items()}
    if member.role == "control_plane":
        items |= {f"{host} label {_CONTROL_PLANE}": {"value": ""}}
        items |= {f"{host} taint {_CONTROL_PLANE}:NoSchedule": {"value": ""}}
    owners = dict.fromkeys((f"nodes:{name}" for name in items), "dc.yml")
    return Desired({"nodes": items}, owned=(f"nodes:{host} taint *",), owners=owners)


def desired_cluster() -> Desired:
    """Who may do everything: those that kubeadm made, and nobody else."""
    return Desired({"bindings": {}}, owned=("bindings:*",), allowed=ADMINISTRATORS)


def node_facts(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Facts]:
    """Facts of each node, by its name, from what the API lists."""
    return {node["metadata"]["name"]: {"nodes": dict(_node(node))} for node in nodes}


def binding_facts(roles: Sequence[Mapping[str, Any]], bindings: Sequence[Mapping[str, Any]]) -> Facts:
    """Bindings of the whole cluster to roles that may do everything."""
    mighty = {"cluster-admin", *(role["metadata"]["name"] for role in roles if _mighty(role))}
    found = {
        b["metadata"]["name"]: {"role": b["roleRef"]["name"], "subjects": _subjects(b)}
        for b in bindings
        if b["roleRef"]["name"] in mighty
    }
    return {"bindings": found}


def _node(node: Mapping[str, Any]) -> Iterator[tuple[str, Attributes]]:
    name, spec = node["metadata"]["name"], node.get("spec") or {}
    version = node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
    yield name, {"version": version, "unschedulable": bool(spec.get("unschedulable"))}
    for key, value in (node["metadata"].get("labels") or {}).items():
        yield f"{name} label {key}", {"value": value}
    for taint in spec.get("taints") or ():
        if not taint["key"].startswith(_LIFE):
            yield f"{name} taint {taint['key']}:{taint['effect']}", {"value": taint.get("value") or ""}


def _mighty(role: Mapping[str, Any]) -> bool:
    rules = role.get("rules") or ()
    return any("*" in (rule.get("verbs") or ()) and _all_resources(rule) for rule in rules)


def _all_resources(rule: Mapping[str, Any]) -> bool:
    return "*" in (rule.get("resources") or ()) and "*" in (rule.get("apiGroups") or ())


def _subjects(binding: Mapping[str, Any]) -> str:
    return ", ".join(sorted(f"{s['kind']} {s['name']}" for s in binding.get("subjects") or ()))
