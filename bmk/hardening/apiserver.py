"""What the API server is started with: admission, audit, anonymous access, encryption. Pure: documents and flags.

The files are the same on every control plane of a cluster, and are there before kubeadm begins it: so what is written
first is encrypted and audited already. The key of the encryption is made on the first control plane and handed from one
to the next with the ticket of its join; it is in no file of the deployer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIRECTORY = "/etc/kubernetes/bmk"
ENCRYPTION = f"{DIRECTORY}/encryption.yaml"
AUDIT_LOGS = "/var/log/kubernetes/audit"
Document = dict[str, Any]

# of TLS 1.2; those of 1.3 are not configurable and all good
TLS_CIPHERS = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
]
ADMISSION_PLUGINS = ("NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit")
# Health for balancers and probes; the last is what a joining node reads before it knows whom to trust: it is signed.
ANONYMOUS = ("/livez", "/readyz", "/healthz", "/api/v1/namespaces/kube-public/configmaps/cluster-info")
AUDIT_KEEP = {"audit-log-maxage": "30", "audit-log-maxbackup": "10", "audit-log-maxsize": "100"}


def arguments() -> dict[str, str]:
    """Flags of kube-apiserver, beyond those of kubeadm."""
    return {
        "profiling": "false",
        "kubelet-certificate-authority": "/etc/kubernetes/pki/ca.crt",  # they are approved, so check them
        "service-account-extend-token-expiration": "false",
        "tls-min-version": "VersionTLS12",
        "tls-cipher-suites": ",".join(TLS_CIPHERS),
        "enable-admission-plugins": ",".join(ADMISSION_PLUGINS),
        "admission-control-config-file": f"{DIRECTORY}/admission.yaml",
        "authentication-config": f"{DIRECTORY}/authentication.yaml",
        "encryption-provider-config": ENCRYPTION,
        "audit-policy-file": f"{DIRECTORY}/audit-policy.yaml",
        "audit-log-path": f"{AUDIT_LOGS}/audit.log",
        **AUDIT_KEEP,
    }


def volumes() -> list[Document]:
    """What the API server's pod sees of the host for this."""
    return [
        {"name": "bmk", "hostPath": DIRECTORY, "mountPath": DIRECTORY, "readOnly": True, "pathType": "Directory"},
        {"name": "audit", "hostPath": AUDIT_LOGS, "mountPath": AUDIT_LOGS, "pathType": "Directory"},
    ]


def files(version: str, settings: Mapping[str, Any]) -> dict[str, Document]:
    """Files by path; `settings` is `hardening` of dc.yml. JSON is YAML."""
    return {
        f"{DIRECTORY}/admission.yaml": admission(version, settings["pod_security"]),
        f"{DIRECTORY}/authentication.yaml": authentication(),
        f"{DIRECTORY}/audit-policy.yaml": audit_policy(),
    }


def digest(version: str, settings: Mapping[str, Any]) -> str:
    """Of the files: an API server that was started with others is started again."""
    text = json.dumps(files(version, settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def admission(version: str, pods: Mapping[str, Any]) -> Document:
    """Pod Security with its version pinned to the cluster's minor, and a limit to events."""
    minor = "v" + ".".join(version.split(".")[:2])
    level = {mode: pods["enforce"] if mode == "enforce" else "restricted" for mode in ("enforce", "audit", "warn")}
    pinned = {f"{mode}-version": minor for mode in level}
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {**level, **pinned},
        "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": list(pods["exempt"])},
    }
    events = {
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
        "kind": "Configuration",
        "limits": [{"type": "Server", "qps": 5000, "burst": 20000}],
    }
    plugins = [{"name": "PodSecurity", "configuration": security}, {"name": "EventRateLimit", "configuration": events}]
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}


def authentication() -> Document:
    """Nobody without a name but for a few paths."""
    anonymous = {"enabled": True, "conditions": [{"path": path} for path in ANONYMOUS]}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": anonymous,
    }


def audit_policy() -> Document:
    """Who changed what, who looked at secrets, who went into pods; never a secret's content, and not the noise."""
    quiet = [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version", "/metrics"]},
        {"level": "None", "verbs": ["get", "list", "watch"], "users": ["system:kube-proxy", "system:kube-scheduler"]},
        {"level": "None", "resources": [{"group": "", "resources": ["events"]}, _of("events.k8s.io", "events")]},
        {"level": "None", "resources": [_of("coordination.k8s.io", "leases")]},
        {
            "level": "None",
            "userGroups": ["system:nodes"],
            "verbs": ["get", "list", "watch", "update", "patch"],
            "resources": [_of("", "nodes", "nodes/status", "pods/status")],
        },
    ]
    secrets = [_of("", "secrets", "configmaps", "serviceaccounts/token"), _of("authentication.k8s.io", "tokenreviews")]
    inside = [_of("", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy")]
    kept = [
        _of("", "pods", "pods/ephemeralcontainers", "namespaces", "serviceaccounts"),
        _of("apps"),
        _of("batch"),
        _of("rbac.authorization.k8s.io"),
        _of("admissionregistration.k8s.io"),
        _of("certificates.k8s.io"),
    ]
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    rules = [
        *quiet,
        {"level": "Metadata", "resources": secrets},
        {"level": "Metadata", "resources": inside},
        {"level": "Request", "verbs": writes, "resources": kept},
        {"level": "Metadata"},
    ]
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}


def _of(group: str, *resources: str) -> Document:
    return {"group": group, **({"resources": list(resources)} if resources else {})}
