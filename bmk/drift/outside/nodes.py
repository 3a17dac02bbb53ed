"""What the Kubernetes API says of a node: labels and taints, the kubelet's settings, images that run. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from bmk.datacenter.resolve import DataCenter
from bmk.document import parse_document
from bmk.drift.flat import flat
from bmk.drift.kind import INTRUDER, Kind, Rule, by_api, by_play
from bmk.drift.model import Attributes, Desired, Difference, Facts, Repair

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_LIFE_CYCLE = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")  # taints that Kubernetes sets and removes


def _label(difference: Difference, desired: Desired) -> Repair:
    """Labels and taints are written through the API; a node that is missing or not ready needs a human decision."""
    return by_api(difference, desired) if " label " in difference.id or " taint " in difference.id else ""


NODES = Kind(
    name="nodes",
    closed=("* taint *",),
    repair=_label,
    next="bmk why {dc} {where}",
    rules=(
        Rule("* taint *", "*", "degraded", "decides which pods run there"),
        Rule("* label *", "*", "degraded", "decides which pods run there"),
        Rule("*", "*", "breaking"),
    ),
)


def desired_nodes(dc: DataCenter, cluster: str, host: str) -> Desired:
    """What the API should say of one node."""
    member = dc.hosts[host]
    version = f"v{dc.cluster(cluster).kubernetes.version}"
    items: dict[str, Attributes] = {host: {"version": version, "unschedulable": False, "ready": True}}
    items |= {f"{host} label {key}": {"value": value} for key, value in member.labels.items()}
    if member.role == "control_plane":
        items |= {f"{host} label {_CONTROL_PLANE}": {"value": ""}}
        items |= {f"{host} taint {_CONTROL_PLANE}:NoSchedule": {"value": ""}}
    owners = dict.fromkeys((f"nodes:{name}" for name in items), "dc.yml")
    return Desired({"nodes": items}, owned=NODES.owned, owners=owners)


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
        if not taint["key"].startswith(_LIFE_CYCLE):
            yield f"{name} taint {taint['key']}:{taint['effect']}", {"value": taint.get("value") or ""}


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


CONFIG = "/var/lib/kubelet/config.yaml"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|ns))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_NOT_SETTINGS = ("apiVersion", "kind")
_DEFAULT = ("", "0", "0s")  # what kubeadm writes for "the default"
_ZEROS = ("readOnlyPort",)  # a 0 that is meant

KUBELET = Kind(
    name="kubelet",
    repair=by_play,
    restarts="kubelet",
    rules=(Rule("*", "*", "security", "runs with other settings than its file"),),
)


def desired_settings(text: str) -> dict[str, Attributes]:
    """Settings that the file names, by their path, as text. Raises NotYaml when it is no configuration."""
    said = flat(parse_document(text, Path(CONFIG)).value)
    plain = {key: _plain(value) for key, value in said.items() if key not in _NOT_SETTINGS}
    return {key: {"value": value} for key, value in plain.items() if value not in _DEFAULT or key in _ZEROS}


def live_settings(wanted: Mapping[str, Attributes], live: Mapping[str, Any]) -> dict[str, Attributes]:
    """The same settings as the kubelet has them. One that is left out has the zero value: Go omits those."""
    said = {key: _plain(value) for key, value in flat(live).items()}
    zeros = {key: a["value"] if a["value"] in ("false", "0") else "" for key, a in wanted.items()}
    return {key: {"value": said.get(key, zero)} for key, zero in zeros.items()}


def _plain(value: Any) -> str:
    """As text; `5m` and `5m0s` are the same."""
    text = str(value).lower() if isinstance(value, bool) else "" if value in (None, {}) else str(value)
    if not _DURATION.fullmatch(text):
        return text
    return f"{sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)):g}s"


NAMESPACE = "kube-system"
# Containers that kubeadm makes, named as their images are. Others in its namespace belong to somebody else.
_OURS = ("coredns", "etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")

IMAGES = Kind(
    name="images",
    closed=("*",),
    next=f"bmk ssh {{dc}} {{where}} ctr -n k8s.io images ls; {INTRUDER}",
    rules=(
        Rule(
            "*", "build", "degraded", "the mirror was built anew since",
            next="bmk plan {dc}: an upgrade brings it; until then it is expected: in dc.yml",
        ),
        Rule("*", "*", "security", "runs under a name of Kubernetes, but the mirror does not hold it"),
    ),
)  # fmt: skip


class RunningImage(Protocol):
    """The mirror's record of an image: `digest` of its manifest, `id` of its configuration (hex)."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def id(self) -> str: ...


def desired_images(mirror: Iterable[RunningImage]) -> Desired:
    """Containers with these names run images of the mirror, on whichever node. Without a mirror nothing is desired."""
    good = {f"images:{name}" for name in held(mirror)}
    return Desired(owned=IMAGES.owned if good else (), allowed=frozenset(good))


def held(mirror: Iterable[RunningImage]) -> list[str]:
    """Names with digests, as image_facts has them."""
    return sorted(f"{i.name} {digest}" for i in mirror for digest in (i.digest, f"sha256:{i.id}"))


def with_builds(mirror: Desired, before: Collection[str], found: Facts) -> tuple[Desired, Facts]:
    """Both sides, where an image that the mirror held `before` differs as an earlier build, and is no intruder's."""
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
