"""Objects that bmk itself runs in a cluster: their label, metrics-server, and a PodDisruptionBudget for CoreDNS. Pure.

metrics-server verifies kubelets by the cluster's authority, and API servers verify it by the certificate that its
APIService names. The deployer makes that certificate; the Secret is named after its digest, so that another certificate
is another Secret, to which the Deployment then refers.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]
MANAGED = {"app.kubernetes.io/managed-by": "bmk"}
SPACE = "kube-system"  # the namespace of what bmk runs


def made(api: str, kind: str, name: str, namespace: str = "", **body: Any) -> Object:
    """An object with the label; `body` is what it has beside its metadata."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": dict(MANAGED), **place}, **body}


METRICS = "metrics-server"
HOST = f"{METRICS}.{SPACE}.svc"  # the name by which API servers verify it
_ID = 65532  # user and group, as its image has them
_PORT = 10250
_RBAC = "rbac.authorization.k8s.io"
_LABELS = {"app.kubernetes.io/name": METRICS}
_SHOWN = "/etc/metrics-server"  # where its certificate is
_AUTHORITY = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
_READS = [
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
]
_IS_READ = [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}]


def dns_budget() -> Object:
    """One of CoreDNS's replicas may be evicted at a time, and one that does not work at any time."""
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return made("policy/v1", "PodDisruptionBudget", "coredns", SPACE, spec=spec)


def metrics(image: str, certificate: str) -> list[Object]:
    """metrics-server with its account, its rights and the way to it. `certificate`: PEM, what it shows.

    The Secret comes without its data: whoever applies it has the key.
    """
    reader = made(f"{_RBAC}/v1", "ClusterRole", "system:aggregated-metrics-reader", rules=_IS_READ)
    reader["metadata"]["labels"] |= {
        f"rbac.authorization.k8s.io/aggregate-to-{r}": "true" for r in ("view", "edit", "admin")
    }
    secret = f"{METRICS}-{hashlib.sha256(certificate.encode()).hexdigest()[:12]}"
    return [
        made("v1", "ServiceAccount", METRICS, SPACE),
        made("v1", "Secret", secret, SPACE, type="kubernetes.io/tls", immutable=True),
        reader,
        made(f"{_RBAC}/v1", "ClusterRole", f"system:{METRICS}", rules=_READS),
        _bound("ClusterRoleBinding", f"system:{METRICS}", "ClusterRole", f"system:{METRICS}"),
        _bound("ClusterRoleBinding", f"{METRICS}:system:auth-delegator", "ClusterRole", "system:auth-delegator"),
        _bound("RoleBinding", f"{METRICS}-auth-reader", "Role", "extension-apiserver-authentication-reader", SPACE),
        made("networking.k8s.io/v1", "NetworkPolicy", METRICS, SPACE, spec=_reached()),
        made("v1", "Service", METRICS, SPACE, spec={"type": "ClusterIP", "selector": _LABELS, "ports": [_port(443)]}),
        made("apps/v1", "Deployment", METRICS, SPACE, spec=_deployment(image, secret)),
        made("apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io", spec=_api(certificate)),
    ]


def completed(body: Object, data: Mapping[str, str]) -> Object:
    """An object as it is applied, with what no API gives back to be compared: `data` of the Secret, and a plain no."""
    if body["kind"] == "Secret":
        return {**body, "data": dict(data)}
    if body["kind"] == "APIService":
        return {**body, "spec": {**body["spec"], "insecureSkipTLSVerify": False}}
    return body


def _bound(kind: str, name: str, role_kind: str, role: str, namespace: str = "") -> Object:
    to = {"apiGroup": _RBAC, "kind": role_kind, "name": role}
    who = [{"kind": "ServiceAccount", "name": METRICS, "namespace": SPACE}]
    return made(f"{_RBAC}/v1", kind, name, namespace, roleRef=to, subjects=who)


def _api(certificate: str) -> Object:
    return {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"name": METRICS, "namespace": SPACE, "port": 443},
        "caBundle": base64.b64encode(certificate.encode()).decode(),
    }


def _reached() -> Object:
    """By API servers, which are no pods, at its port; it reaches kubelets and API servers. Nothing else."""
    ports = [{"protocol": "TCP", "port": port} for port in (10250, 6443)]
    return {
        "podSelector": {"matchLabels": _LABELS},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": _PORT}]}],
        "egress": [{"ports": ports}],
    }


def _port(port: int) -> Object:
    return {"name": "https", "port": port, "protocol": "TCP", "targetPort": "https"}


def _deployment(image: str, secret: str) -> Object:
    context = {
        "runAsNonRoot": True,
        "runAsUser": _ID,
        "runAsGroup": _ID,
        "fsGroup": _ID,  # it reads its key
        "supplementalGroupsPolicy": "Strict",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = {
        "serviceAccountName": METRICS,
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}],
        "securityContext": context,
        "containers": [_container(image)],
        "volumes": [{"name": "certificate", "secret": {"secretName": secret, "defaultMode": 0o440}}],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}


def _container(image: str) -> Object:
    arguments = {
        "secure-port": _PORT,
        "tls-cert-file": f"{_SHOWN}/tls.crt",
        "tls-private-key-file": f"{_SHOWN}/tls.key",
        "tls-min-version": "VersionTLS12",
        "kubelet-certificate-authority": _AUTHORITY,
        "kubelet-preferred-address-types": "InternalIP",
        "kubelet-use-node-status-port": "true",
        "metric-resolution": "15s",
    }
    return {
        "name": METRICS,
        "image": image,
        "args": [f"--{name}={value}" for name, value in arguments.items()],
        "ports": [{"name": "https", "containerPort": _PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "50m", "memory": "60Mi"}},
        "readinessProbe": _probe("/readyz"),
        "livenessProbe": {**_probe("/livez"), "initialDelaySeconds": 60},
        "volumeMounts": [{"name": "certificate", "mountPath": _SHOWN, "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _probe(path: str) -> dict[str, Any]:
    """As patient as a slow node needs it: it is asked for nothing that cannot wait."""
    ask = {"path": path, "port": "https", "scheme": "HTTPS"}
    return {"httpGet": ask, "periodSeconds": 15, "timeoutSeconds": 10, "failureThreshold": 8}
