"""Proof that a cluster works: real pods, real addresses, real names. Returns rows for a table; leaves nothing behind.

One small web server per node (at most `LIMIT` nodes), all as the Restricted profile wants and with a group that is not
root's. The first of them asks everything: CoreDNS, the pod on each other node, the service, its own identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bmk.cluster import enforcement
from bmk.cluster.api import Api, PodState, wait_for
from bmk.errors import BmkError, Unreachable

T = TypeVar("T")

NAMESPACE = "bmk-smoke"
LIMIT = 8  # nodes; more of them prove nothing new
POLICY = "NetworkPolicy holds"  # the row of each node that enforces
IDENTITY = "uid=1000 gid=3000 groups=3000,4000"
_PORT = 8080


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the smoke test. `host` is set when it is about one node."""

    name: str
    ok: bool
    detail: str = ""
    host: str | None = None


def run(api: Api, nodes: Sequence[str], image: str, seconds: float = 180, enforced: Collection[str] = ()) -> list[Row]:
    """Run all checks on a cluster whose nodes should be `nodes`. `seconds`: patience for each thing to come up.

    `enforced`: nodes on which a NetworkPolicy must hold.
    """
    rows: list[Row] = []
    try:
        rows += _patiently(lambda: _nodes(api, nodes), seconds)
        _patiently(lambda: api.delete_namespace(NAMESPACE, seconds), seconds)
        pods = _start(api, list(nodes)[:LIMIT], image, seconds)
        rows += [Row("pod runs", p.ready, p.ip or p.why, p.node) for p in pods]
        rows.extend(_ask(api, [p for p in pods if p.ready], seconds))  # one by one: an error later loses none
        rows += _policies(api, [p for p in pods if p.ready and p.node in enforced], image, seconds)
    except BmkError as error:
        rows.append(Row("smoke test", False, str(error)))
    finally:
        _clean(api, seconds)
    return rows


def namespace_manifest() -> dict[str, Any]:
    """The namespace, which admits nothing but Restricted pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def pod_manifest(node: str, image: str) -> dict[str, Any]:
    """A web server on one node: no root, no capabilities, no writable root, and a group of its own."""
    script = f"id > /tmp/id && hostname > /tmp/index.html && exec httpd -f -p {_PORT} -h /tmp"
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


def _ask(api: Api, pods: Sequence[PodState], seconds: float) -> Iterator[Row]:
    if not pods:
        return
    first, *others = pods
    shell, wget = _Shell(api, first.name, seconds), f"wget -q -T {seconds / 36:.0f} -O -"
    yield shell.row("CoreDNS answers", "nslookup kubernetes.default.svc.cluster.local", "Address", first.node)
    yield shell.row("identity", "id", IDENTITY, first.node, strip="id: unknown ID")
    for other in others:
        url = f"{wget} http://{other.ip}:{_PORT}/index.html"
        yield shell.row(f"pod to pod, {first.node} to {other.node}", url, other.name, other.node)
    yield shell.row("pod to service by name", f"{wget} http://web/index.html", "web-", None)
    address = _patiently(lambda: api.service_address(NAMESPACE, "web"), seconds)
    yield shell.row("pod to service by address", f"{wget} http://{address}/index.html", "web-", None)


def _policies(api: Api, webs: Sequence[PodState], image: str, seconds: float) -> list[Row]:
    if not webs:
        return []
    for pod in enforcement.manifests(pod_manifest(str(webs[0].node), image)):
        wait_for(lambda p=pod: _created(api, p), seconds, "the namespace takes pods")  # type: ignore[misc]
    wrong = enforcement.prove(api, NAMESPACE, webs, _PORT, seconds)
    return [
        Row(POLICY, not why, why or "a stranger is kept out, a friend is let in", node) for node, why in wrong.items()
    ]


@dataclass(frozen=True, slots=True)
class _Shell:
    """Commands in one pod, tried again until they say what they should or a third of `seconds` is over."""

    api: Api
    pod: str
    seconds: float

    def row(self, name: str, command: str, expected: str, host: str | None, strip: str = "") -> Row:
        said = [""]

        def answered() -> bool:
            try:
                code, text = self.api.execute(NAMESPACE, self.pod, ["/bin/sh", "-c", command], self.seconds / 6)
            except BmkError as error:  # an API server or a kubelet may be busy for a moment
                said[0] = f"{error.what}: {error.why}"
                return False
            said[0] = " ".join(line for line in text.split("\n") if not strip or strip not in line).strip()
            return code == 0 and expected in said[0]

        return Row(name, _eventually(answered, self.seconds / 3), said[0][:200], host)


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
