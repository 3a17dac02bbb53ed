"""The API server: flags that are in force, read from the process that runs."""

from __future__ import annotations

from bmk.hardening import apiserver
from bmk.hardening.control import Control, Verdict, among, at_least, flag, flags, given, holds, one_of
from bmk.hardening.evidence import NodeEvidence

_API = "kube-apiserver"
_PROFILE = "Profiles show memory and arguments to whoever may ask for them."
_WHO = "The API server must know whom it talks to."
_ETCD_WHY = "etcd holds every secret of the cluster; the two must know each other by their certificates."
_TRAIL = "Without a trail nobody can say afterwards what happened."


def _strong(value: str | None) -> bool:
    return value is not None and set(value.split(",")) <= set(apiserver.TLS_CIPHERS)


def _plugins(node: NodeEvidence) -> Verdict:
    given_flags = node.flags(_API)
    if given_flags is None:
        return Verdict("unknown", "kube-apiserver does not run")
    off = [
        p
        for p in ("ServiceAccount", "NamespaceLifecycle", "PodSecurity", "ValidatingAdmissionPolicy")
        if among(p)(given_flags.get("disable-admission-plugins"))
    ]
    on = [p for p in ("AlwaysAdmit",) if among(p)(given_flags.get("enable-admission-plugins"))]
    missing = [p for p in apiserver.ADMISSION_PLUGINS if not among(p)(given_flags.get("enable-admission-plugins"))]
    wrong = [*(f"{p} is off" for p in off + missing), *(f"{p} is on" for p in on)]
    return holds(
        not wrong, ", ".join(wrong) or f"on: {', '.join(apiserver.ADMISSION_PLUGINS)}; none of the defaults is off"
    )


CONTROLS = (
    flag(
        "api-no-tokens",
        "No static tokens",
        ("1.2.2",),
        _API,
        "token-auth-file",
        one_of(None),
        "no --token-auth-file",
        "They never end and are in a file in clear text.",
        "high",
    ),
    Control(
        "api-plugins",
        "Admission plug-ins are on",
        "high",
        "They keep nodes to their own objects, services off foreign addresses, floods of events out.",
        f"--enable-admission-plugins={','.join(apiserver.ADMISSION_PLUGINS)}; none of the defaults disabled",
        _plugins,
        "control_plane",
        ("1.2.3", "1.2.9", "1.2.10", "1.2.12", "1.2.13", "1.2.14"),
    ),
    flags(
        "api-kubelet-client",
        "The API server shows kubelets its certificate",
        ("1.2.4",),
        _API,
        (
            "kubelet-client-certificate",
            "kubelet-client-key",
        ),
        _WHO,
    ),
    flags(
        "api-kubelet-ca",
        "The API server checks the kubelets' certificates",
        ("1.2.5",),
        _API,
        ("kubelet-certificate-authority",),
        _WHO,
    ),
    flag(
        "api-authorization",
        "Nodes and RBAC decide, nothing is always allowed",
        ("1.2.6", "1.2.7", "1.2.8"),
        _API,
        "authorization-mode",
        lambda v: among("Node")(v) and among("RBAC")(v) and not among("AlwaysAllow")(v),
        "--authorization-mode=Node,RBAC",
        "Whatever is always allowed needs no hole.",
        "high",
    ),
    flag(
        "api-profiling",
        "The API server has no profiling",
        ("1.2.15",),
        _API,
        "profiling",
        one_of("false"),
        "--profiling=false",
        _PROFILE,
        "low",
    ),
    flag(
        "api-audit-log",
        "There is an audit log",
        ("1.2.16",),
        _API,
        "audit-log-path",
        given,
        f"--audit-log-path={apiserver.AUDIT_LOGS}/audit.log",
        _TRAIL,
    ),
    flag(
        "api-audit-age",
        "Audit logs are kept for a month",
        ("1.2.17",),
        _API,
        "audit-log-maxage",
        at_least(30),
        "--audit-log-maxage=30",
        _TRAIL,
        "low",
    ),
    flag(
        "api-audit-backups",
        "Audit logs are rotated",
        ("1.2.18",),
        _API,
        "audit-log-maxbackup",
        at_least(10),
        "--audit-log-maxbackup=10",
        "A log without end fills the disk and stops etcd.",
        "low",
    ),
    flag(
        "api-audit-size",
        "Audit logs have a size",
        ("1.2.19",),
        _API,
        "audit-log-maxsize",
        at_least(100),
        "--audit-log-maxsize=100",
        "A log without end fills the disk and stops etcd.",
        "low",
    ),
    flag(
        "api-request-timeout",
        "Requests end",
        ("1.2.20",),
        _API,
        "request-timeout",
        lambda v: v is None or v not in ("0", "0s"),
        "upstream's minute",
        "Endless requests use the server up.",
        "low",
    ),
    flag(
        "api-service-account-lookup",
        "Tokens of deleted accounts do not work",
        ("1.2.21",),
        _API,
        "service-account-lookup",
        one_of("true", None),
        "--service-account-lookup is not false",
        "A deleted account must be one that cannot log in.",
    ),
    flags(
        "api-service-account-key",
        "Service accounts have a key of their own",
        ("1.2.22",),
        _API,
        (
            "service-account-key-file",
            "service-account-signing-key-file",
        ),
        _WHO,
    ),
    flags(
        "api-etcd-client",
        "The API server shows etcd its certificate, and checks etcd's",
        ("1.2.23", "1.2.26"),
        _API,
        (
            "etcd-certfile",
            "etcd-keyfile",
            "etcd-cafile",
        ),
        _ETCD_WHY,
    ),
    flags(
        "api-serving",
        "The API server has a certificate",
        ("1.2.24",),
        _API,
        (
            "tls-cert-file",
            "tls-private-key-file",
        ),
        _WHO,
    ),
    flags(
        "api-client-ca",
        "The API server knows clients by certificate",
        ("1.2.25",),
        _API,
        ("client-ca-file",),
        _WHO,
    ),
    flag(
        "api-encryption",
        "Secrets are encrypted at rest",
        ("1.2.27",),
        _API,
        "encryption-provider-config",
        given,
        f"--encryption-provider-config={apiserver.ENCRYPTION}",
        "A copy of etcd's disk is a copy of all secrets.",
        "high",
    ),
    flag(
        "api-tls-floor",
        "The API server speaks TLS 1.2 or newer",
        (),
        _API,
        "tls-min-version",
        one_of("VersionTLS12", "VersionTLS13"),
        "--tls-min-version=VersionTLS12",
        "Older versions can be forged.",
    ),
    flag(
        "api-tls-ciphers",
        "The API server uses strong ciphers only",
        ("1.2.29",),
        _API,
        "tls-cipher-suites",
        _strong,
        "--tls-cipher-suites: ECDHE with AES-GCM or ChaCha20",
        "Weak ciphers can be read later.",
    ),
    flag(
        "api-token-expiry",
        "Service account tokens are not stretched to a year",
        ("1.2.30",),
        _API,
        "service-account-extend-token-expiration",
        one_of("false"),
        "--service-account-extend-token-expiration=false",
        "A stolen token should be old in an hour.",
    ),
)
