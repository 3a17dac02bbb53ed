"""What the API holds, broken on a real cluster: exactly those ids fail; what bmk sets comes back by `bmk provision`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bmk.cluster.csr import JOINING
from bmk.hardening.controls import CONTROLS
from bmk.hardening.policy import AUTOMATIC, POLICY
from tests.containers.hardening.breaks import KUBELET, OURS, C, W
from tests.containers.hardening.conftest import Place, until

pytestmark = pytest.mark.containers
EVERYBODY = "system:authenticated"
_PROXY = (
    "-n kube-system get cm kube-proxy -o yaml | sed 's#metricsBindAddress: .*#metricsBindAddress: {}#' "
    "| kubectl --kubeconfig /etc/kubernetes/admin.conf replace -f -"
)
# control -> group, resource, verbs of a role that everybody gets
RIGHTS: dict[str, tuple[str, str, str]] = {
    "rbac-secrets": ("", "secrets", "get"),
    "rbac-wildcards": ("example.net", "*", "*"),
    "rbac-pods": ("", "pods", "create"),
    "rbac-escalate": ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    "rbac-volumes": ("", "persistentvolumes", "create"),
    "rbac-node-proxy": ("", "nodes/proxy", "get"),
    "rbac-approve": ("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
    "rbac-webhooks": ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "patch"),
    "rbac-tokens": ("", "serviceaccounts/token", "create"),
}
# what people put in, and how they take it out again: bmk names it and leaves it to them
THEIRS: dict[str, tuple[str, str]] = {
    "rbac-cluster-admin": (
        "create clusterrolebinding broken --clusterrole=cluster-admin --serviceaccount=default:default",
        "delete clusterrolebinding broken",
    ),
    "rbac-masters": (
        "create clusterrolebinding masters --clusterrole=view --group=system:masters",
        "delete clusterrolebinding masters",
    ),
    "bootstrap-tokens": (
        "-n kube-system create secret generic bootstrap-token-abcdef --type=bootstrap.kubernetes.io/token "
        "--from-literal=token-id=abcdef --from-literal=token-secret=0123456789abcdef",
        "-n kube-system delete secret bootstrap-token-abcdef",
    ),
    "kube-proxy-local": (_PROXY.format("0.0.0.0:10249"), _PROXY.format("127.0.0.1:10249")),
}
OURS_IN_THE_API = {"group-policies", "api-anonymous", "join-approval"}
_NODECLIENT = "system:certificates.k8s.io:certificatesigningrequests:nodeclient"
REPORTED = {"node-strict-groups", "node-user-namespaces"}  # by kubelets, which say it again within seconds


def test_every_control_of_the_api_is_broken_here() -> None:
    """A new control needs a break; those of nodes have theirs in breaks.py."""
    ids = {control.id for control in CONTROLS if control.requirement.scope == "cluster"}
    assert {*RIGHTS, *THEIRS, *OURS_IN_THE_API, *REPORTED} == ids


def test_what_is_broken_in_the_api_fails_and_provision_restores_what_bmk_sets(place: Place) -> None:
    """Policies, anonymous access, rights for everybody, a token without end: these ids fail and no other; and daemons
    that began before their files. What bmk sets comes back by one `bmk provision`, the rest when it is taken out.
    """
    for control, right in RIGHTS.items():
        for body in _given(control, *right):
            assert "created" in place.create(body)
    for typed, _ in THEIRS.values():
        place.kubectl(typed)
    spec = '{"spec":{"failurePolicy":"Ignore"}}'
    place.kubectl(f"patch validatingadmissionpolicy {POLICY} --type=merge -p '{spec}'")
    place.kubectl(f"create clusterrolebinding {AUTOMATIC} --clusterrole={_NODECLIENT} --group={JOINING}")
    place.ssh(C, f"""sed -i 's#"path": "/livez"#"path": "/api"#' {OURS}/authentication.yaml""")
    place.ssh(C, "kill $(pidof kube-apiserver)")  # who may be anonymous is read at its start only
    until(lambda: place.kubectl("get --raw /readyz", check=False) == "ok")
    place.ssh(C, f"touch {OURS}/admission.yaml")
    place.ssh(W, f"touch {KUBELET}")
    wanted = {("hard", name) for name in (*RIGHTS, *THEIRS, *OURS_IN_THE_API)}
    wanted |= {(C, "api-files-live"), (W, "kubelet-config-live")}
    until(lambda: place.failing(2) == wanted)
    for _, typed in THEIRS.values():
        place.kubectl(typed)
    place.kubectl("delete", "clusterrole,clusterrolebinding", "-l", "broken=yes")
    place.lab.bmk("provision", "--yes")
    assert place.failing(0) == set()


def test_a_node_that_cannot_keep_groups_out_is_seen(place: Place) -> None:
    """A node whose runtime knows neither Strict nor user namespaces: both controls fail, and it is an exception."""
    handlers = [{"name": "", "features": {"userNamespaces": False}}]
    patch = json.dumps({"status": {"features": {"supplementalGroupsPolicy": False}, "runtimeHandlers": handlers}})

    def seen() -> bool:
        place.kubectl(f"patch node {W} --subresource=status --type=merge -p '{patch}'")
        report = json.loads(place.lab.bmk("hardening", "-o", "json", code=None))
        failed = {r["control"] for r in report["results"] if r["state"] == "fail"}
        return failed == REPORTED and any(e["kind"] == "node" and e["what"] == W for e in report["exceptions"])

    until(seen)
    until(lambda: not json.loads(place.lab.bmk("hardening", "-o", "json", code=None))["counts"]["fail"])


def _given(control: str, group: str, resource: str, verb: str) -> list[dict[str, Any]]:
    """A role and who gets it."""
    metadata = {"name": f"broken-{control}", "labels": {"broken": "yes"}}
    api = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
    role = {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": [rule]}
    subject = {"kind": "Group", "name": EVERYBODY, "apiGroup": api}
    reference = {"kind": "ClusterRole", "name": metadata["name"], "apiGroup": api}
    binding = {"apiVersion": f"{api}/v1", "kind": "ClusterRoleBinding", "metadata": metadata, "subjects": [subject]}
    return [role, {**binding, "roleRef": reference}]
