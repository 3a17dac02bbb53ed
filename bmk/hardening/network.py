"""The NetworkPolicy engine of the plug-in `routed`, and default denials, as objects of the API. Pure.

Without an engine the API accepts every NetworkPolicy and nothing enforces it. kube-network-policies checks the first
packet of each connection from or to a pod that a policy selects, in user space, by a queue of nftables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bmk.hardening.addons import SPACE, Object, made

ENGINE = "kube-network-policies"
DENY = "bmk-default-deny"
UNABLE = "bmk.dev/no-network-policy"  # label of a node whose kernel has no queue of nftables: nothing can enforce there
_GROUP = 65532
_RULES = (("", ["pods", "namespaces"]), ("networking.k8s.io", ["networkpolicies"]))
_RBAC = "rbac.authorization.k8s.io"


def engine(image: str) -> list[Object]:
    """The daemon for every node whose kernel can run it, with its account, which reads pods, namespaces, policies."""
    rules = [{"apiGroups": [group], "resources": names, "verbs": ["list", "watch"]} for group, names in _RULES]
    role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ENGINE}
    subjects = [{"kind": "ServiceAccount", "name": ENGINE, "namespace": SPACE}]
    return [
        made("v1", "ServiceAccount", ENGINE, SPACE),
        made(f"{_RBAC}/v1", "ClusterRole", ENGINE, rules=rules),
        made(f"{_RBAC}/v1", "ClusterRoleBinding", ENGINE, roleRef=role, subjects=subjects),
        made("apps/v1", "DaemonSet", ENGINE, SPACE, spec=_daemon(image)),
    ]


def denials(namespaces: Sequence[str]) -> Iterator[Object]:
    """One policy for each namespace that denies all traffic of its pods except what other policies allow."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in namespaces:
        yield made("networking.k8s.io/v1", "NetworkPolicy", DENY, name, spec=spec)


def there(wanted: Sequence[Object], namespaces: Sequence[str]) -> list[Object]:
    """The objects whose namespace exists."""
    return [o for o in wanted if o["metadata"].get("namespace") in (None, *namespaces)]


def unable(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of nodes, given as objects of the API, on which NetworkPolicy is not enforced."""
    return [n["metadata"]["name"] for n in nodes if UNABLE in (n["metadata"].get("labels") or {})]


def _daemon(image: str) -> Object:
    """A pod with NET_ADMIN in the node's network and nothing else: no host files, group 0 or privilege escalation."""
    able = {"matchExpressions": [{"key": UNABLE, "operator": "DoesNotExist"}]}
    node = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [able]}}
    context = {
        "runAsUser": 0,  # else a capability could only come with the file, and no_new_privs forbids that
        "runAsGroup": _GROUP,
        "supplementalGroupsPolicy": "Strict",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = {
        "serviceAccountName": ENGINE,
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": node},
        "securityContext": context,
        "containers": [_container(image)],
    }
    labels = {"app.kubernetes.io/name": ENGINE}
    template = {"metadata": {"labels": labels}, "spec": pod}
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}
    return {"selector": {"matchLabels": labels}, "updateStrategy": update, "template": template}


def _container(image: str) -> Object:
    """`fail-open` is off: while the daemon is down, new connections of selected pods are dropped."""
    return {
        "name": ENGINE,
        "image": image,
        "args": ["--hostname-override=$(NODE)", "--metrics-bind-address=127.0.0.1:9080", "--nfqueue-id=98", "--v=1"],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "10m", "memory": "50Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        },
    }
