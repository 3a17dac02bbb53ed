"""What is not covered is named, by whom to tell."""

from __future__ import annotations

from typing import Any

from bmk.hardening.evidence import ClusterEvidence
from bmk.hardening.exceptions import exceptions, owner

SETTINGS = {"groups": {"default": "warn", "namespaces": {}, "exempt": ["kube-system"]}}
BAD = {"containers": [{"name": "main"}]}


def pod(namespace: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, **metadata},
        "spec": spec,
        "status": {"phase": "Running"},
    }


def cluster(pods: list[dict[str, Any]], nodes: list[dict[str, Any]] | None = None) -> ClusterEvidence:
    labels = {"shop": {"bmk.dev/nonroot-group": "deny"}, "bank": {"pod-security.kubernetes.io/enforce": "privileged"}}
    names = ("default", "kube-system", "shop", "bank")
    namespaces = tuple({"metadata": {"name": n, "labels": labels.get(n, {})}} for n in names)
    empty: tuple[Any, ...] = ()
    return ClusterEvidence(
        "c", SETTINGS, empty, empty, tuple(nodes or ()), tuple(pods), namespaces, empty, empty, empty, "", {}, {}, 0.0
    )


def found(seen: ClusterEvidence) -> set[tuple[str, str]]:
    return {(e.kind, e.what) for e in exceptions(seen)}


def test_namespaces_that_do_not_deny_are_named() -> None:
    """Exempt ones, those in audit or warn, and those whose label lowers Pod Security; one that denies is not."""
    names = {("exempt", "kube-system"), ("namespace", "default"), ("namespace", "bank")}
    assert found(cluster([])) == names


def test_pods_that_would_be_denied_are_told_by_their_owner() -> None:
    """Replicas of one Deployment are one line; what is finished, static or exempt is none of it."""
    replica = {"ownerReferences": [{"kind": "ReplicaSet", "name": "cart-5f"}], "labels": {"pod-template-hash": "5f"}}
    done = pod("default", "job", BAD)
    done["status"]["phase"] = "Succeeded"
    static = pod("kube-system", "etcd-cp-1", BAD, annotations={"kubernetes.io/config.mirror": "x"})
    pods = [pod("shop", f"cart-5f-{i}", BAD, **replica) for i in "ab"] + [done, static, pod("kube-system", "x", BAD)]
    seen = {e.what: e.detail for e in exceptions(cluster(pods)) if e.kind == "would-be-denied"}
    assert seen == {"shop/Deployment/cart": "2 pods: runs with group 0: main; supplementalGroupsPolicy is not Strict"}
    assert ("static-pod", "kube-system/etcd-cp-1") in found(cluster(pods))


def test_nodes_without_strict_are_named() -> None:
    """A node whose runtime does not know Strict would let an image's groups in."""
    old = {"metadata": {"name": "old"}, "status": {}}
    new = {"metadata": {"name": "new"}, "status": {"features": {"supplementalGroupsPolicy": True}}}
    assert {what for kind, what in found(cluster([], [old, new])) if kind == "node"} == {"old"}


def test_the_owner_of_a_pod_on_its_own_is_itself() -> None:
    """Nobody else can be told."""
    assert owner(pod("a", "b", BAD)) == "a/Pod/b"
