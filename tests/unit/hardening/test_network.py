"""The controls about NetworkPolicy: what they find wrong, one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmk.hardening import network
from bmk.hardening.controls import BY_ID
from bmk.hardening.evidence import ClusterEvidence
from bmk.hardening.exceptions import exceptions
from bmk.hardening.policy import violations

SETTINGS = {"network": {"plugin": "routed", "policies": network.ENGINE, "deny": ["default", "shop"]}}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def _engine(node: str, status: dict[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": network.ENGINE}
    metadata = {"name": f"e-{node}", "namespace": "kube-system", "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


@pytest.fixture
def seen() -> ClusterEvidence:
    """Two nodes on which it was tried and held, one namespace that denies and one that does not exist yet."""
    nodes = tuple({"metadata": {"name": name}} for name in ("cp-1", "worker-1"))
    pods = tuple(_engine(name, READY) for name in ("cp-1", "worker-1"))
    namespaces = tuple({"metadata": {"name": name}} for name in ("default", "kube-system"))
    policies = tuple({**o, "kind": "NetworkPolicy"} for o in network.denials(["default"]))
    proof = {"at": 0.0, "holds": {"cp-1": True, "worker-1": True}}
    none: tuple[Any, ...] = ()
    return ClusterEvidence("c", SETTINGS, none, policies, nodes, pods, namespaces, none, none, none, "", proof, {}, 0.0)


def judged(seen: ClusterEvidence, control: str = "network-policy") -> tuple[str, str]:
    verdict = BY_ID[control].requirement.check(seen)
    return verdict.state, verdict.seen


def test_where_it_was_tried_and_the_engine_lives_it_holds(seen: ClusterEvidence) -> None:
    """With the time of the trial, so that a person sees how old the proof is."""
    assert judged(seen) == ("pass", "1970-01-01T00:00:00+00:00: held on 2 nodes")
    assert judged(seen, "network-deny") == ("pass", "denied by default: default")


def test_a_node_that_cannot_enforce_is_an_exception(seen: ClusterEvidence) -> None:
    """Its kernel has no queue: it is named among what is not covered; where no node can, nothing passes."""
    poor = {"metadata": {"name": "worker-2", "labels": {network.UNABLE: ""}}}
    assert judged(replace(seen, nodes=(*seen.nodes, poor)))[0] == "pass"
    assert judged(replace(seen, nodes=(poor,)))[0] == "na"
    groups = {"default": "deny", "namespaces": {}, "exempt": []}
    told = exceptions(replace(seen, nodes=(*seen.nodes, poor), settings={**SETTINGS, "groups": groups}))
    assert [e.what for e in told if "NetworkPolicy" in e.detail] == ["worker-2"]


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ({"pods": (_engine("cp-1", READY), _engine("worker-1", {}))}, "fail", "not ready on worker-1"),
        ({"pods": (_engine("cp-1", READY),)}, "fail", "not ready on worker-1"),
        ({"proof": {"at": 0.0, "holds": {"cp-1": True, "worker-1": False}}}, "fail", "let strangers in on worker-1"),
        ({"proof": {}}, "unknown", "bmk verify"),
        ({"settings": {"network": {"plugin": "routed", "policies": "none"}}}, "fail", "nothing enforces"),
        ({"settings": {"network": {"plugin": "none", "policies": network.ENGINE}}}, "fail", "nothing enforces"),
    ],
)
def test_each_gap_is_told(seen: ClusterEvidence, change: dict[str, Any], state: str, word: str) -> None:
    """An engine that is away, a stranger who got in, nobody who tried it, nobody who enforces: never a pass."""
    found, said = judged(replace(seen, **change))
    assert found == state
    assert word in said


def test_a_namespace_that_should_deny_and_does_not_is_named(seen: ClusterEvidence) -> None:
    """Only those that exist count."""
    assert judged(replace(seen, policies=()), "network-deny") == ("fail", "open: default")
    assert judged(replace(seen, settings={"network": {"deny": []}}), "network-deny")[0] == "na"


def test_the_engine_may_do_one_thing() -> None:
    """One capability, no group 0, no files of the node, no way to more; it reads pods, namespaces and policies."""
    _, role, _, daemon = network.engine("d/e@sha256:1")
    pod = daemon["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert violations(pod) == []
    assert "volumes" not in pod
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list", "watch"}
    assert {name for rule in role["rules"] for name in rule["resources"]} == {"pods", "namespaces", "networkpolicies"}
