"""What an upgrade reads of a real API server: versions, metrics, pods and budgets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bmk.cluster.upgrade_facts import bare_pods, budgets, deprecated_apis, node_versions, server_version
from bmk.errors import BmkError
from bmk.upgrade.model import BarePod, Budget, NodeVersions
from tests.services.cluster.conftest import Cluster
from tests.services.cluster.test_drain import NODE, pod

pytestmark = pytest.mark.services
SPACE = "upgrades"


@pytest.fixture
def loaded(cluster: Cluster) -> Iterator[Cluster]:
    """A Ready node that is cordoned, with a pod of a controller, a bare one, and a budget that allows nothing."""
    server = cluster.server
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "db", "namespace": SPACE}}
    budget["spec"] = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}}
    server.kubectl("create", "namespace", SPACE)
    server.kubectl("create", "serviceaccount", "default", "-n", SPACE)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {"unschedulable": True}}
    for one in (node, *(named(pod(*words)) for words in (("web", "ReplicaSet"), ("by-hand",))), budget):
        done = server.kubectl("apply", "-f", "-", send=one)
        assert done.returncode == 0, done.stderr
    status(cluster, ("node", NODE), {"conditions": [READY], "nodeInfo": {**INFO, "kubeletVersion": "v1.36.3"}})
    status(cluster, ("pdb", "db", "-n", SPACE), {**HEALTHY})
    yield cluster
    server.kubectl("delete", "pod,pdb", "--all", "--force", "--grace-period=0", "-n", SPACE)
    server.kubectl("delete", "node", NODE)


HEALTHY = {"expectedPods": 1, "desiredHealthy": 1, "currentHealthy": 1, "disruptionsAllowed": 0}
READY = {"type": "Ready", "status": "True", "reason": "x", "message": "x"}
INFO = dict.fromkeys(
    ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeProxyVersion"),
    "x",
) | {"operatingSystem": "linux", "architecture": "amd64"}


def named(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "namespace": SPACE}}


def status(cluster: Cluster, which: tuple[str, ...], value: dict[str, Any]) -> None:
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": value}))
    done = cluster.server.kubectl("patch", *which, *patch)
    assert done.returncode == 0, done.stderr


def test_an_api_server_is_asked_by_its_own_address(cluster: Cluster) -> None:
    """Version and metrics, as the administrator; the metric of deprecated APIs is read where somebody asked for one."""
    with cluster.server.api() as api:
        url = f"https://127.0.0.1:{cluster.server.port}"
        assert server_version(api.text(url, "/version")) == f"v{cluster.server.version}"
        cluster.server.kubectl("get", "endpoints", "-A")
        metrics = api.text(url, "/metrics")
        assert "apiserver_requested_deprecated_apis" in metrics
        assert [one for one in deprecated_apis(metrics) if one.removed < 30] == []
        with pytest.raises(BmkError, match="an API server does not answer"):
            api.text(url, "/nothing/here")


def test_nodes_pods_and_budgets_are_read_as_they_are(loaded: Cluster) -> None:
    """As the API gives them, not as a test would write them."""
    with loaded.server.api() as api:
        found = node_versions(api.nodes.objects(), {NODE: "v1.36.3"}, [])
        assert found[NODE] == NodeVersions("v1.36.3", True, True, "v1.36.3")
        assert BarePod(SPACE, "by-hand", NODE) in set(bare_pods(api.pods.objects("*")))
        assert "web" not in {one.name for one in bare_pods(api.pods.objects(SPACE))}
        (budget,) = [one for one in budgets(api.pods.budgets()) if one.namespace == SPACE]
        assert budget == Budget(SPACE, "db", 1, 1)
        assert budget.never
