"""Nodes that are drained and deleted, and what etcdctl says, with a real API server and a real etcd."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bmk.cluster.drain import drain, uncordon
from bmk.cluster.etcd import healthy, members
from bmk.errors import PhaseFailed
from tests.services.cluster.conftest import Cluster
from tests.services.hardening.conftest import program

pytestmark = pytest.mark.services
NODE = "worker-1"


def pod(name: str, owner: str = "", annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """On the node, and labelled with its name."""
    owners = [{"apiVersion": "apps/v1", "kind": owner, "name": "x", "uid": "1", "controller": True}] if owner else []
    metadata = {"name": name, "labels": {"app": name}, "ownerReferences": owners, "annotations": annotations or {}}
    spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "x"}], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """A node with a pod of a ReplicaSet, one of a DaemonSet, and one that nothing makes anew."""
    cluster.server.kubectl("create", "serviceaccount", "default")
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    for one in (body, pod("web", "ReplicaSet"), pod("agent", "DaemonSet"), pod("by-hand")):
        done = cluster.server.kubectl("apply", "-f", "-", send=one)
        assert done.returncode == 0, done.stderr
    running = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
    }  # the budget of others is not asked
    for name in ("web", "agent", "by-hand"):
        words = ("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": running}))
        assert cluster.server.kubectl(*words).returncode == 0
    yield NODE
    cluster.server.kubectl("delete", "pod,pdb", "--all", "--force", "--grace-period=0")
    cluster.server.kubectl("delete", "node", NODE, "--ignore-not-found")


def there(cluster: Cluster) -> set[str]:
    found = json.loads(cluster.server.kubectl("get", "pods", "-o", "json").stdout)["items"]
    return {p["metadata"]["name"] for p in found}


@contextmanager
def kubelet(cluster: Cluster) -> Iterator[None]:
    """What a kubelet does: a pod that is to go is gone."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.2):
            for one in json.loads(cluster.server.kubectl("get", "pods", "-o", "json").stdout or '{"items": []}')[
                "items"
            ]:
                if one["metadata"].get("deletionTimestamp"):
                    cluster.server.kubectl("delete", "pod", one["metadata"]["name"], "--force", "--grace-period=0")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_drained_node_has_what_belongs_to_it_only(cluster: Cluster, node: str) -> None:
    """It is cordoned; pods of controllers and by hand are evicted, those of a DaemonSet stay; and it is let back."""
    with kubelet(cluster), cluster.server.api() as api:
        drain(api, node, 60)
        assert there(cluster) == {"agent"}
        (spec,) = (n["spec"] for n in api.nodes.objects() if n["metadata"]["name"] == node)
        assert spec["unschedulable"] is True
        for _ in range(2):
            uncordon(api, node)
            (spec,) = (n["spec"] for n in api.nodes.objects() if n["metadata"]["name"] == node)
            assert "unschedulable" not in spec


def test_a_budget_holds_a_pod_and_is_named(cluster: Cluster, node: str) -> None:
    """What a PodDisruptionBudget does not let go stays, and the error says which pod and why; nothing is forced."""
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }  # fmt: skip
    assert cluster.server.kubectl("apply", "-f", "-", send=budget).returncode == 0
    with kubelet(cluster), cluster.server.api() as api, pytest.raises(PhaseFailed) as error:
        drain(api, node, 3)
    assert "default/web" in (error.value.why or "")
    assert "disruption budget" in (error.value.why or "")
    assert {"web", "agent"} <= there(cluster)


def test_a_node_is_deleted_once_or_twice(cluster: Cluster, node: str) -> None:
    """Removing is repeated after a kill: what is gone is gone."""
    with cluster.server.api() as api:
        api.nodes.delete(node)
        api.nodes.delete(node)
        assert node not in api.nodes.readiness()


def test_etcdctl_says_what_is_read(cluster: Cluster) -> None:
    """The real program's lists are read: every member with its id and address, and whether it is well."""

    def ask(*words: str) -> str:
        argv = [str(program("etcdctl")), "--endpoints", f"http://127.0.0.1:{cluster.server.etcd}", *words, "-w", "json"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout

    (member,) = members(ask("member", "list"))
    assert int(member.id, 16) == member.number
    assert member.addresses
    assert list(healthy(ask("endpoint", "health", "--cluster"), {}).values()) == [True]
