"""The smoke test's pods are what the Restricted profile wants."""

from __future__ import annotations

from bmk.cluster.smoke import IDENTITY, NAMESPACE, namespace_manifest, pod_manifest


def test_the_pod_is_restricted_and_has_a_group_of_its_own() -> None:
    """No root, no group 0, strict groups, seccomp, nothing writable but a small volume."""
    spec = pod_manifest("worker-1", "mirror/smoke:1")["spec"]
    security, container = spec["securityContext"], spec["containers"][0]["securityContext"]
    ids = f"uid={security['runAsUser']} gid={security['runAsGroup']}"
    assert IDENTITY.startswith(ids)
    assert security["runAsGroup"] > 0
    assert security["supplementalGroupsPolicy"] == "Strict"
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False


def test_everything_is_in_one_namespace_that_enforces() -> None:
    """What is left after a kill is one namespace, which the next run deletes first."""
    assert namespace_manifest()["metadata"]["name"] == pod_manifest("a", "b")["metadata"]["namespace"] == NAMESPACE
    assert namespace_manifest()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
