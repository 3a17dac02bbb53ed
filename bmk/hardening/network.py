"""What enforces NetworkPolicy with the plug-in `routed`, and what is denied by default, as objects of the API. Pure.

Without an engine the API takes every NetworkPolicy and nothing happens. kube-network-policies looks at the first packet
of each connection from or to a pod that a policy selects, in user space, by a queue of nftables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bmk.hardening.objects import SPACE, Object, made

ENGINE = "kube-network-policies"
DENY = "bmk-default-deny"
UNABLE = "bmk.dev/no-network-policy"  # label of a node whose kernel has no queue of nftables: nothing can enforce there
_GROUP = 65532
_RULES = (("", ["pods", "namespaces"]), ("networking.k8s.io", ["networkpolicies"]))
_RBAC = "rbac.authorization.k8s.io"


def engine(image: str) -> list[Object]:
    """The daemon on every node that can, and the account that it reads pods, namespaces and policies with."""
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
    """In each of these namespaces no pod reaches another or is reached, but for what further policies let through."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in namespaces:
        yield made("networking.k8s.io/v1", "NetworkPolicy", DENY, name, spec=spec)


def there(wanted: Sequence[Object], namespaces: Sequence[str]) -> list[Object]:
    """Those that can be made: a namespace that does not exist yet has nothing to deny."""
    return [o for o in wanted if o["metadata"].get("namespace") in (None, *namespaces)]


def unable(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Nodes, as the API says them, on which nothing enforces."""
    return [n["metadata"]["name"] for n in nodes if UNABLE in (n["metadata"].get("labels") or {})]


def _daemon(image: str) -> Object:
    """Root of the node's network and of nothing else: one capability, no files, no group 0, no way to more."""
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
    """`fail-open` is off: while the daemon is away, no new connection of a selected pod is let through."""
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
