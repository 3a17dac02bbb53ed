"""Controller manager, scheduler and etcd: flags that are in force, read from what runs."""

from __future__ import annotations

from bmk.hardening.control import Control, Requirement, Verdict, at_least, flag, flags, holds, not_true, one_of
from bmk.hardening.evidence import NodeEvidence

_API, _CM, _SCHEDULER, _ETCD = "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"
_PROFILE = "Profiles show memory and arguments to whoever may ask for them."
_WHO = "The API server must know whom it talks to."
_ETCD_WHY = "etcd holds every secret of the cluster; it must know its clients and peers by their certificates."
_TRAIL = "Without a trail nobody can say afterwards what happened."


def _ca_of_etcd(node: NodeEvidence) -> Verdict:
    api, etcd = node.flags(_API), node.flags(_ETCD)
    if api is None or etcd is None:
        return Verdict("unknown", "kube-apiserver or etcd does not run")
    own, clients = etcd.get("trusted-ca-file"), api.get("client-ca-file")
    return holds(bool(own) and own != clients, f"etcd: {own}, API: {clients}")


def _local(process: str, id_: str, cis: str) -> Control:
    return Control(
        id_,
        f"{process} listens on loopback only",
        "medium",
        "Its metrics tell much, and nobody else needs them.",
        flag(process, "bind-address", one_of("127.0.0.1", "::1"), "--bind-address=127.0.0.1"),
        cis=(cis,),
    )


CONTROLS = (
    Control(
        "cm-gc",
        "Finished pods are cleaned up",
        "low",
        "Thousands of dead pods slow every list down.",
        flag(_CM, "terminated-pod-gc-threshold", at_least(1), "--terminated-pod-gc-threshold=1000"),
        cis=("1.3.1",),
    ),
    Control(
        "cm-profiling",
        "The controller manager has no profiling",
        "low",
        _PROFILE,
        flag(_CM, "profiling", one_of("false"), "--profiling=false"),
        cis=("1.3.2",),
    ),
    Control(
        "cm-credentials",
        "Each controller has its own account",
        "medium",
        "One account for all may do everything.",
        flag(_CM, "use-service-account-credentials", one_of("true"), "--use-service-account-credentials=true"),
        cis=("1.3.3",),
    ),
    Control(
        "cm-keys",
        "The controller manager signs with the cluster's key and names its authority",
        "high",
        _WHO,
        flags(_CM, "service-account-private-key-file", "root-ca-file"),
        cis=("1.3.4", "1.3.5"),
    ),
    Control(
        "cm-rotate",
        "Serving certificates of kubelets can be renewed",
        "low",
        "Certificates that cannot be renewed are made to last.",
        flag(
            _CM,
            "feature-gates",
            lambda v: "RotateKubeletServerCertificate=false" not in (v or ""),
            "RotateKubeletServerCertificate is not off",
        ),
        cis=("1.3.6",),
    ),
    _local(_CM, "cm-local", "1.3.7"),
    Control(
        "scheduler-profiling",
        "The scheduler has no profiling",
        "low",
        _PROFILE,
        flag(_SCHEDULER, "profiling", one_of("false"), "--profiling=false"),
        cis=("1.4.1",),
    ),
    _local(_SCHEDULER, "scheduler-local", "1.4.2"),
    Control(
        "etcd-serving",
        "etcd has a certificate",
        "high",
        _ETCD_WHY,
        flags(_ETCD, "cert-file", "key-file"),
        cis=("2.1",),
    ),
    Control(
        "etcd-clients",
        "etcd asks clients for a certificate",
        "high",
        _ETCD_WHY,
        flag(_ETCD, "client-cert-auth", one_of("true"), "--client-cert-auth=true"),
        cis=("2.2",),
    ),
    Control(
        "etcd-auto-tls",
        "etcd makes no certificates up",
        "high",
        _ETCD_WHY,
        flag(_ETCD, "auto-tls", not_true, "no --auto-tls"),
        cis=("2.3",),
    ),
    Control(
        "etcd-peer-serving",
        "etcd members have certificates for each other",
        "high",
        _ETCD_WHY,
        flags(_ETCD, "peer-cert-file", "peer-key-file"),
        cis=("2.4",),
    ),
    Control(
        "etcd-peers",
        "etcd asks members for a certificate",
        "high",
        _ETCD_WHY,
        flag(_ETCD, "peer-client-cert-auth", one_of("true"), "--peer-client-cert-auth=true"),
        cis=("2.5",),
    ),
    Control(
        "etcd-peer-auto-tls",
        "etcd makes no certificates up for members",
        "high",
        _ETCD_WHY,
        flag(_ETCD, "peer-auto-tls", not_true, "no --peer-auto-tls"),
        cis=("2.6",),
    ),
    Control(
        "etcd-ca",
        "etcd has an authority of its own",
        "high",
        "With one authority for both, every client of the API could log in to etcd.",
        Requirement(
            "--trusted-ca-file of etcd is not --client-ca-file of the API server", _ca_of_etcd, "control_plane"
        ),
        cis=("2.7",),
    ),
    Control(
        "etcd-tls-floor",
        "etcd speaks TLS 1.2 or newer",
        "medium",
        "Older versions can be forged.",
        flag(_ETCD, "tls-min-version", one_of("TLS1.2", "TLS1.3"), "--tls-min-version=TLS1.2"),
    ),
)
