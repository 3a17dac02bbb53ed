"""What an API says for an upgrade, also when it says something odd."""

from __future__ import annotations

from typing import Any

from bmk.cluster.api import PodState
from bmk.cluster.upgrade_facts import bare_pods, budgets, deprecated_apis, looping, node_versions, server_version
from bmk.upgrade.model import BarePod, Budget, DeprecatedApi, NodeVersions

METRICS = """\
# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="flow",removed_release="1.37",resource="s",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="x",removed_release="1.38",resource="y",subresource="",version="v2"} 0
apiserver_request_total{group="x",removed_release="1.38"} 1
"""


def node(name: Any, kubelet: Any = "v1.36.3", ready: str = "True", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"nodeInfo": {"kubeletVersion": kubelet}, "conditions": conditions},
    }


def test_one_odd_node_hides_no_other() -> None:
    """What cannot be read is not Ready and has no version, which blocks the upgrade by its name."""
    found = node_versions(
        [
            node("cp-1", unschedulable=True),
            node("w-1", kubelet=["x"]),
            node("w-2", ready="Unknown"),
            {"metadata": None},
        ],
        {"cp-1": "v1.36.3"},
        [("cp-1", "etcd-cp-1")],
    )
    assert found["cp-1"] == NodeVersions("v1.36.3", True, True, "v1.36.3", ("etcd-cp-1",))
    assert found["w-1"] == NodeVersions("", False)
    assert not found["w-2"].ready


def test_deprecated_apis_are_those_that_somebody_asked_for() -> None:
    """With a version that lacks them; others, of no date or not asked for, are none."""
    assert list(deprecated_apis(METRICS)) == [DeprecatedApi("flow", "v1", "s", 37)]


def test_pods_that_nobody_makes_anew() -> None:
    """Not those of controllers and of the kubelet itself."""
    owned = [{"kind": "ReplicaSet", "controller": True}]
    pods = [
        {"metadata": {"namespace": "a", "name": "bare"}, "spec": {"nodeName": "w-1"}, "status": {"phase": "Running"}},
        {"metadata": {"namespace": "a", "name": "web", "ownerReferences": owned}, "spec": {"nodeName": "w-1"}},
        {"metadata": {"namespace": "a", "name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {}},
        {"metadata": {"namespace": "a", "name": "done"}, "spec": {}, "status": {"phase": "Succeeded"}},
    ]
    assert list(bare_pods(pods)) == [BarePod("a", "bare", "w-1")]


def test_a_budget_that_cannot_be_read_is_passed_over() -> None:
    """Whether it holds a pod is seen when that is evicted."""
    good = {"metadata": {"name": "db", "namespace": "a"}, "status": {"expectedPods": 2, "desiredHealthy": 2}}
    assert list(budgets([{"metadata": {"name": "x"}, "status": {"expectedPods": "many"}}, good])) == [
        Budget("a", "db", 2, 2)
    ]


def test_what_begins_again_and_again() -> None:
    """Pods that wait for their next start, by their node."""
    pods = [
        PodState("etcd-cp-1", "Running", False, None, "cp-1", "CrashLoopBackOff: back-off 5m0s"),
        PodState("etcd-cp-2", "Running", True, None, "cp-2"),
        PodState("other", "Pending", False, None, None, "ImagePullBackOff"),
    ]
    assert looping(pods) == [("cp-1", "etcd-cp-1")]


def test_a_server_that_says_something_else_has_no_version() -> None:
    """Neither too long nor in another form."""
    assert server_version('{"gitVersion": "v1.37.2", "major": "1"}') == "v1.37.2"
    for odd in ("", "[]", '{"gitVersion": 1}', '{"gitVersion": "' + 100 * "v" + '"}'):
        assert server_version(odd) == ""
