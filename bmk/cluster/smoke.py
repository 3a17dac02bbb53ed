"""The smoke test of a cluster: pods, services, DNS, NetworkPolicy. Returns rows for a table, deletes its namespace.

A small web server runs on every node, under the Restricted profile and without root's group. The checks run in each
pod at the same time (pod_commands.py), so that a failure names its node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from bmk.cluster import policy_proof
from bmk.cluster.api import Api, PodState, wait_for
from bmk.cluster.pod_commands import PRINTED, PodCommand, Row, answered, ask_node
from bmk.errors import BmkError, Unreachable

T = TypeVar("T")

NAMESPACE = "bmk-smoke"
POLICY = "NetworkPolicy holds"  # name of the row of each node that enforces it
IDENTITY = "uid=1000 gid=3000 groups=3000,4000"
_PORT = 8080
_AT_ONCE = 16  # nodes that are asked at the same time


@dataclass(frozen=True, slots=True)
class Proof:
    """What to test on each of `nodes`. `seconds`: deadline of each step.

    `enforced`: nodes on which a NetworkPolicy must hold. `name` (or address) is resolved by the name servers outside,
    and `url` is fetched from the deployer.
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
        seen = _patiently(api.nodes.readiness, seconds)
        rows += [Row("node Ready", seen.get(n) == "ready", seen.get(n, "absent"), n) for n in proof.nodes]
        _patiently(lambda: api.pods.delete_namespace(NAMESPACE, seconds), seconds)
        pods = _start(api, proof.nodes, proof.image, seconds)
        rows += [Row("pod runs", p.ready, p.ip or p.why, p.node) for p in pods]
        rows += _asked(api, proof, [p for p in pods if p.ready])
        rows += _policies(api, [p for p in pods if p.ready and p.node in proof.enforced], proof.image, seconds)
    except BmkError as error:
        rows.append(Row("smoke test", False, str(error)))
    finally:
        with suppress(BmkError):  # the rows matter more; the next run deletes it first
            api.pods.delete_namespace(NAMESPACE, seconds)
    return rows


def questions(proof: Proof, other: PodState, service: str) -> list[PodCommand]:
    """Commands of a pod; `other` is the pod on the next node, `service` the address of the service of all."""
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
    """The namespace, which admits Restricted pods only."""
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


def _start(api: Api, nodes: Sequence[str], image: str, seconds: float) -> list[PodState]:
    wait_for(lambda: _created(api, namespace_manifest()), seconds, "the API takes a namespace")
    wait_for(lambda: _created(api, service_manifest()), seconds, "the namespace takes objects")
    for node in nodes:
        wait_for(lambda n=node: _created(api, pod_manifest(n, image)), seconds, "the namespace takes pods")  # type: ignore[misc]  # mypy
    with suppress(BmkError):  # a row per pod says which is not ready, and why
        wait_for(lambda: _all_ready(api), seconds, "all pods are ready", pause=1)
    return _patiently(lambda: api.pods.states(NAMESPACE), seconds)


def _all_ready(api: Api) -> bool:
    try:
        return all(p.ready for p in api.pods.states(NAMESPACE))
    except Unreachable:  # control planes come and go while a cluster grows
        return False


def _created(api: Api, manifest: Mapping[str, Any]) -> bool:
    """False while the API does not answer or the namespace has no default service account yet."""
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
    service = _patiently(lambda: api.pods.service_address(NAMESPACE, "web"), proof.seconds)

    def ask(pod: PodState, other: PodState) -> list[Row]:
        return ask_node(api.pods, NAMESPACE, pod, questions(proof, other, service), proof.seconds / 3)

    with ThreadPoolExecutor(min(_AT_ONCE, len(pods))) as pool:
        found = pool.map(ask, pods, [*pods[1:], pods[0]])
        return [row for rows in found for row in rows]


def _policies(api: Api, webs: Sequence[PodState], image: str, seconds: float) -> list[Row]:
    if not webs:
        return []
    for pod in policy_proof.manifests(pod_manifest(str(webs[0].node), image)):
        wait_for(lambda p=pod: _created(api, p), seconds, "the namespace takes pods")  # type: ignore[misc]  # mypy
    wrong = policy_proof.prove(api, NAMESPACE, webs, _PORT, seconds)
    return [
        Row(POLICY, not why, why or "the policy admits one pod and blocks the other", node)
        for node, why in wrong.items()
    ]


def _patiently(ask: Callable[[], T], seconds: float) -> T:
    """Retry while the API does not answer: it is busiest right after the last join."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() >= end:
                raise
        time.sleep(1)
