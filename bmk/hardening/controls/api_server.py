"""The API server: flags that are in force, read from the process that runs."""

from __future__ import annotations

from bmk.hardening import apiserver
from bmk.hardening.control import Control, Requirement, Verdict, among, at_least, flag, flags, given, holds, one_of
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
    Control(
        "api-no-tokens",
        "No static tokens",
        "high",
        "They never end and are in a file in clear text.",
        flag(_API, "token-auth-file", one_of(None), "no --token-auth-file"),
        cis=("1.2.2",),
    ),
    Control(
        "api-plugins",
        "Admission plug-ins are on",
        "high",
        "They keep nodes to their own objects, services off foreign addresses, floods of events out.",
        Requirement(
            f"--enable-admission-plugins={','.join(apiserver.ADMISSION_PLUGINS)}; none of the defaults disabled",
            _plugins,
            "control_plane",
        ),
        cis=("1.2.3", "1.2.9", "1.2.10", "1.2.12", "1.2.13", "1.2.14"),
    ),
    Control(
        "api-kubelet-client",
        "The API server shows kubelets its certificate",
        "high",
        _WHO,
        flags(_API, "kubelet-client-certificate", "kubelet-client-key"),
        cis=("1.2.4",),
    ),
    Control(
        "api-kubelet-ca",
        "The API server checks the kubelets' certificates",
        "high",
        _WHO,
        flags(_API, "kubelet-certificate-authority"),
        cis=("1.2.5",),
    ),
    Control(
        "api-authorization",
        "Nodes and RBAC decide, nothing is always allowed",
        "high",
        "Whatever is always allowed needs no hole.",
        flag(
            _API,
            "authorization-mode",
            lambda v: among("Node")(v) and among("RBAC")(v) and not among("AlwaysAllow")(v),
            "--authorization-mode=Node,RBAC",
        ),
        cis=("1.2.6", "1.2.7", "1.2.8"),
    ),
    Control(
        "api-profiling",
        "The API server has no profiling",
        "low",
        _PROFILE,
        flag(_API, "profiling", one_of("false"), "--profiling=false"),
        cis=("1.2.15",),
    ),
    Control(
        "api-audit-log",
        "There is an audit log",
        "medium",
        _TRAIL,
        flag(_API, "audit-log-path", given, f"--audit-log-path={apiserver.AUDIT_LOGS}/audit.log"),
        cis=("1.2.16",),
    ),
    Control(
        "api-audit-age",
        "Audit logs are kept for a month",
        "low",
        _TRAIL,
        flag(_API, "audit-log-maxage", at_least(30), "--audit-log-maxage=30"),
        cis=("1.2.17",),
    ),
    Control(
        "api-audit-backups",
        "Audit logs are rotated",
        "low",
        "A log without end fills the disk and stops etcd.",
        flag(_API, "audit-log-maxbackup", at_least(10), "--audit-log-maxbackup=10"),
        cis=("1.2.18",),
    ),
    Control(
        "api-audit-size",
        "Audit logs have a size",
        "low",
        "A log without end fills the disk and stops etcd.",
        flag(_API, "audit-log-maxsize", at_least(100), "--audit-log-maxsize=100"),
        cis=("1.2.19",),
    ),
    Control(
        "api-request-timeout",
        "Requests end",
        "low",
        "Endless requests use the server up.",
        flag(_API, "request-timeout", lambda v: v is None or v not in ("0", "0s"), "upstream's minute"),
        cis=("1.2.20",),
    ),
    Control(
        "api-service-account-lookup",
        "Tokens of deleted accounts do not work",
        "medium",
        "A deleted account must be one that cannot log in.",
        flag(_API, "service-account-lookup", one_of("true", None), "--service-account-lookup is not false"),
        cis=("1.2.21",),
    ),
    Control(
        "api-service-account-key",
        "Service accounts have a key of their own",
        "high",
        _WHO,
        flags(_API, "service-account-key-file", "service-account-signing-key-file"),
        cis=("1.2.22",),
    ),
    Control(
        "api-etcd-client",
        "The API server shows etcd its certificate, and checks etcd's",
        "high",
        _ETCD_WHY,
        flags(_API, "etcd-certfile", "etcd-keyfile", "etcd-cafile"),
        cis=("1.2.23", "1.2.26"),
    ),
    Control(
        "api-serving",
        "The API server has a certificate",
        "high",
        _WHO,
        flags(_API, "tls-cert-file", "tls-private-key-file"),
        cis=("1.2.24",),
    ),
    Control(
        "api-client-ca",
        "The API server knows clients by certificate",
        "high",
        _WHO,
        flags(_API, "client-ca-file"),
        cis=("1.2.25",),
    ),
    Control(
        "api-encryption",
        "Secrets are encrypted at rest",
        "high",
        "A copy of etcd's disk is a copy of all secrets.",
        flag(_API, "encryption-provider-config", given, f"--encryption-provider-config={apiserver.ENCRYPTION}"),
        cis=("1.2.27",),
    ),
    Control(
        "api-tls-floor",
        "The API server speaks TLS 1.2 or newer",
        "medium",
        "Older versions can be forged.",
        flag(_API, "tls-min-version", one_of("VersionTLS12", "VersionTLS13"), "--tls-min-version=VersionTLS12"),
    ),
    Control(
        "api-tls-ciphers",
        "The API server uses strong ciphers only",
        "medium",
        "Weak ciphers can be read later.",
        flag(_API, "tls-cipher-suites", _strong, "--tls-cipher-suites: ECDHE with AES-GCM or ChaCha20"),
        cis=("1.2.29",),
    ),
    Control(
        "api-token-expiry",
        "Service account tokens are not stretched to a year",
        "medium",
        "A stolen token should be old in an hour.",
        flag(
            _API,
            "service-account-extend-token-expiration",
            one_of("false"),
            "--service-account-extend-token-expiration=false",
        ),
        cis=("1.2.30",),
    ),
)
