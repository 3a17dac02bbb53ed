"""What an upgrade asks of a cluster's API, parsed: versions of nodes, pods and budgets that hold it up, old APIs. Pure.

One odd object is told as what it is and hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from bmk.cluster.drain import evictees
from bmk.journal.quoted import plain
from bmk.upgrade.model import BarePod, Budget, DeprecatedApi, NodeVersions
from bmk.upgrade.versions import version

_Word = Annotated[str, Field(max_length=253)]
_LOOPING = "CrashLoopBackOff"
_METRIC = re.compile(r"^apiserver_requested_deprecated_apis\{([^}\n]{1,1000})\} 1(?:e\+00)?$", re.MULTILINE | re.ASCII)
_LABEL = re.compile(r'(\w{1,40})="([^"\\]{0,253})"', re.ASCII)


class _Meta(BaseModel):
    name: _Word
    namespace: _Word = ""


class _Condition(BaseModel):
    type: _Word
    status: _Word


class _NodeInfo(BaseModel):
    kubeletVersion: _Word  # noqa: N815 - the API's name


class _NodeStatus(BaseModel):
    nodeInfo: _NodeInfo  # noqa: N815 - the API's name
    conditions: tuple[_Condition, ...] = ()


class _NodeSpec(BaseModel):
    unschedulable: bool = False


class _Node(BaseModel):
    metadata: _Meta
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus


class _BudgetStatus(BaseModel):
    expectedPods: int = 0  # noqa: N815 - the API's name
    desiredHealthy: int = 0  # noqa: N815 - the API's name


class _Budget(BaseModel):
    metadata: _Meta
    status: _BudgetStatus = _BudgetStatus()


class _Info(BaseModel):
    gitVersion: Annotated[str, Field(max_length=64)]  # noqa: N815 - the API's name


def node_versions(
    nodes: Iterable[Mapping[str, Any]], servers: Mapping[str, str], loops: Sequence[tuple[str, str]]
) -> dict[str, NodeVersions]:
    """By node. `servers`: version of the API server of each control plane that answered; `loops`: as `looping` says."""
    found = dict[str, NodeVersions]()
    for node in nodes:
        name = plain(str((node.get("metadata") or {}).get("name", "")), 253)
        crashing = tuple(pod for on, pod in loops if on == name)
        try:
            known = _Node.model_validate(node)
        except ValidationError:
            found[name] = NodeVersions("", ready=False, api_server=servers.get(name, ""), crashing=crashing)
            continue
        ready = any(c.type == "Ready" and c.status == "True" for c in known.status.conditions)
        kubelet = plain(known.status.nodeInfo.kubeletVersion, 64)
        found[name] = NodeVersions(kubelet, ready, known.spec.unschedulable, servers.get(name, ""), crashing)
    return found


def looping(pods: Iterable[Any]) -> list[tuple[str, str]]:
    """(node, pod) of pods that begin again and again. `pods` are `PodState`s."""
    return [(pod.node or "", pod.name) for pod in pods if pod.why.startswith(_LOOPING)]


def server_version(text: str) -> str:
    """What /version says: such as v1.37.2; "" when it says nothing that can be understood."""
    try:
        return plain(_Info.model_validate_json(text).gitVersion, 64)
    except ValidationError:
        return ""


def bare_pods(pods: Iterable[Mapping[str, Any]]) -> Iterator[BarePod]:
    """Those that have to leave a node and that no controller makes anew."""
    for pod in pods:
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        yield from (BarePod(e.namespace, e.name, node) for e in evictees([pod]) if not e.owned)


def budgets(found: Iterable[Mapping[str, Any]]) -> Iterator[Budget]:
    """One that cannot be read is passed over: whether it holds a pod is seen when that is evicted."""
    for one in found:
        try:
            known = _Budget.model_validate(one)
        except ValidationError:
            continue
        status = known.status
        yield Budget(known.metadata.namespace, known.metadata.name, status.expectedPods, status.desiredHealthy)


def deprecated_apis(metrics: str) -> Iterator[DeprecatedApi]:
    """APIs that somebody asked this API server for and that a later version lacks."""
    for labels in _METRIC.findall(metrics):
        known = dict(_LABEL.findall(labels))
        removed = version(f"{known.get('removed_release', '')}.0")
        if removed is not None:
            yield DeprecatedApi(
                known.get("group", ""), known.get("version", ""), known.get("resource", ""), removed.minor
            )
