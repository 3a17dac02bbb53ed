"""Proof that a cluster works: real pods, real addresses, real names. Returns rows for a table; leaves nothing behind.

One small web server on every node, all as the Restricted profile wants and with a group that is not root's. Each asks
for itself, at the same time as the others (asking.py), so that what fails names its node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from bmk.cluster import enforcement
from bmk.cluster.api import Api, PodState, wait_for
from bmk.cluster.asking import PRINTED, PodCommand, Row, answered, ask_node
from bmk.errors import BmkError, Unreachable

T = TypeVar("T")

NAMESPACE = "bmk-smoke"
POLICY = "NetworkPolicy holds"  # the row of each node that enforces
IDENTITY = "uid=1000 gid=3000 groups=3000,4000"
_PORT = 8080
_AT_ONCE = 16  # nodes that are asked at the same time


@dataclass(frozen=True, slots=True)
class Proof:
    """What a cluster has to show on each of `nodes`. `seconds`: patience for each thing to come up.

    `enforced`: nodes on which a NetworkPolicy must hold. `name` (or address) is asked of the name servers outside, and
    `url` of the machine that serves it.
    """

    nodes: Sequence[str]
    image: str
    name: str
    url: str
    enforced: Collection[str] = ()
    seconds: float = 180


def run(api: Api, proof: Proof) -> list[Row]:
    """Run all checks."""
    rows: list[Row] = []
    seconds = proof.seconds
    try:
        rows += _patiently(lambda: _nodes(api, proof.nodes), seconds)
        _patiently(lambda: api.delete_namespace(NAMESPACE, seconds), seconds)
        pods = _start(api, proof.nodes, proof.image, seconds)
        rows += [Row("pod runs", p.ready, p.ip or p.why, p.node) for p in pods]
        rows += _asked(api, proof, [p for p in pods if p.ready])
        rows += _policies(api, [p for p in pods if p.ready and p.node in proof.enforced], proof.image, seconds)
    except BmkError as error:
        rows.append(Row("smoke test", False, str(error)))
    finally:
        _clean(api, seconds)
    return rows


def questions(proof: Proof, other: PodState, service: str) -> list[PodCommand]:
    """What a pod asks; `other` is the one on the next node, `service` the address in front of all."""
    wget = f"wget -q -T {proof.seconds / 36:.0f} -O -"
    return [
        PodCommand("CoreDNS answers", "nslookup kubernetes.default.svc.cluster.local", "Address"),
        PodCommand("a name outside is answered", f"nslookup {proof.name}", "", answered),
        PodCommand("the deployer is reached", f"{wget} {proof.url}"),
        PodCommand("identity", "id 2>/dev/null", IDENTITY),
        PodCommand("pod to pod", f"echo to {other.node}: && {wget} http://{other.ip}:{_PORT}/index.html", other.name),
        PodCommand("pod to service by name", f"{wget} http://web/index.html", "web-"),
        PodCommand("pod to service by address", f"{wget} http://{service}/index.html", "web-"),
    ]


def namespace_manifest() -> dict[str, Any]:
    """The namespace, which admits nothing but Restricted pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def pod_manifest(node: str, image: str) -> dict[str, Any]:
    """A web server on one node: no root, no capabilities, no writable root, and a group of its own."""
    serve = f"exec httpd -f -p {_PORT} -h /tmp"
    script = f"id > /tmp/id && hostname > /tmp/index.html && echo {PRINTED} && {serve}"
    container = {
        "name": "web",
        "image": image,
        "command": ["/bin/sh", "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"httpGet": {"path": "/id", "port": _PORT}, "periodSeconds": 2, "timeoutSeconds": 10},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{node}", "namespace": NAMESPACE, "labels": {"app": "web"}},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 3000,
                "supplementalGroups": [4000],
                "supplementalGroupsPolicy": "Strict",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }


def service_manifest() -> dict[str, Any]:
    """The service in front of the web servers."""
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": _PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": NAMESPACE}, "spec": spec}


def _nodes(api: Api, nodes: Sequence[str]) -> list[Row]:
    seen: Mapping[str, str] = api.nodes()
    return [Row("node Ready", seen.get(n) == "ready", seen.get(n, "absent"), n) for n in nodes]


def _start(api: Api, nodes: Sequence[str], image: str, seconds: float) -> list[PodState]:
    wait_for(lambda: _created(api, namespace_manifest()), seconds, "the API takes a namespace")
    wait_for(lambda: _created(api, service_manifest()), seconds, "the namespace takes objects")
    for node in nodes:
        wait_for(lambda n=node: _created(api, pod_manifest(n, image)), seconds, "the namespace takes pods")  # type: ignore[misc]
    _eventually(lambda: _all_ready(api), seconds)  # a row per pod says which is not, and why
    return _patiently(lambda: api.pods(NAMESPACE), seconds)


def _all_ready(api: Api) -> bool:
    try:
        return all(p.ready for p in api.pods(NAMESPACE))
    except Unreachable:  # control planes come and go while a cluster grows
        return False


def _created(api: Api, manifest: Mapping[str, Any]) -> bool:
    """False while the API is silent or the namespace has no default service account yet."""
    try:
        api.create(manifest)
    except Unreachable:
        return False
    except BmkError as error:
        if "serviceaccount" in error.why:
            return False
        raise
    return True


def _asked(api: Api, proof: Proof, pods: Sequence[PodState]) -> list[Row]:
    """All nodes at the same time, each from its own pod, which also asks the pod on the next node."""
    if not pods:
        return []
    service = _patiently(lambda: api.service_address(NAMESPACE, "web"), proof.seconds)

    def ask(pod: PodState, other: PodState) -> list[Row]:
        return ask_node(api, NAMESPACE, pod, questions(proof, other, service), proof.seconds / 3)

    with ThreadPoolExecutor(min(_AT_ONCE, len(pods))) as pool:
        found = pool.map(ask, pods, [*pods[1:], pods[0]])
        return [row for rows in found for row in rows]


def _policies(api: Api, webs: Sequence[PodState], image: str, seconds: float) -> list[Row]:
    if not webs:
        return []
    for pod in enforcement.manifests(pod_manifest(str(webs[0].node), image)):
        wait_for(lambda p=pod: _created(api, p), seconds, "the namespace takes pods")  # type: ignore[misc]
    wrong = enforcement.prove(api, NAMESPACE, webs, _PORT, seconds)
    return [
        Row(POLICY, not why, why or "a stranger is kept out, a friend is let in", node) for node, why in wrong.items()
    ]


def _patiently(ask: Callable[[], T], seconds: float) -> T:
    """Ask again while the API is silent: right after the last join it is at its busiest."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() >= end:
                raise
        time.sleep(1)


def _eventually(true: Callable[[], bool], seconds: float) -> bool:
    try:
        wait_for(true, seconds, "an answer", pause=1)
    except BmkError:
        return False
    return True


def _clean(api: Api, seconds: float) -> None:
    try:
        api.delete_namespace(NAMESPACE, seconds)
    except BmkError:  # the rows say what matters; the next run deletes it first
        return
