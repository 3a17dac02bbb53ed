"""Nodes as the API says them: ready, of the right version, with labels and taints of the file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bmk.datacenter.resolve import DataCenter
from bmk.drift.model import Attributes, Desired, Facts

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_LIFE = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")  # taints that Kubernetes gives and takes


def desired_nodes(dc: DataCenter, cluster: str, host: str) -> Desired:
    """What the API should say of one member."""
    member = dc.hosts[host]
    version = f"v{dc.cluster(cluster).kubernetes.version}"
    items: dict[str, Attributes] = {host: {"version": version, "unschedulable": False, "ready": True}}
    items |= {f"{host} label {key}": {"value": value} for key, value in member.labels.items()}
    if member.role == "control_plane":
        items |= {f"{host} label {_CONTROL_PLANE}": {"value": ""}}
        items |= {f"{host} taint {_CONTROL_PLANE}:NoSchedule": {"value": ""}}
    owners = dict.fromkeys((f"nodes:{name}" for name in items), "dc.yml")
    return Desired({"nodes": items}, owned=(f"nodes:{host} taint *",), owners=owners)


def node_facts(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Facts]:
    """Facts of each node, by its name, from what the API lists."""
    return {node["metadata"]["name"]: {"nodes": dict(_node(node))} for node in nodes}


def _node(node: Mapping[str, Any]) -> Iterator[tuple[str, Attributes]]:
    name, spec = node["metadata"]["name"], node.get("spec") or {}
    version = node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
    yield name, {"version": version, "unschedulable": bool(spec.get("unschedulable")), "ready": _ready(node)}
    for key, value in (node["metadata"].get("labels") or {}).items():
        yield f"{name} label {key}", {"value": value}
    for taint in spec.get("taints") or ():
        if not taint["key"].startswith(_LIFE):
            yield f"{name} taint {taint['key']}:{taint['effect']}", {"value": taint.get("value") or ""}


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
