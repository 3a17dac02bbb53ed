"""Controller manager, scheduler and etcd: flags that are in force, read from what runs."""

from __future__ import annotations

from bmk.hardening.control import Control, Verdict, at_least, flag, flags, holds, not_true, one_of
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
    return flag(
        id_,
        f"{process} listens on loopback only",
        (cis,),
        process,
        "bind-address",
        one_of("127.0.0.1", "::1"),
        "--bind-address=127.0.0.1",
        "Its metrics tell much, and nobody else needs them.",
    )


CONTROLS = (
    flag(
        "cm-gc",
        "Finished pods are cleaned up",
        ("1.3.1",),
        _CM,
        "terminated-pod-gc-threshold",
        at_least(1),
        "--terminated-pod-gc-threshold=1000",
        "Thousands of dead pods slow every list down.",
        "low",
    ),
    flag(
        "cm-profiling",
        "The controller manager has no profiling",
        ("1.3.2",),
        _CM,
        "profiling",
        one_of("false"),
        "--profiling=false",
        _PROFILE,
        "low",
    ),
    flag(
        "cm-credentials",
        "Each controller has its own account",
        ("1.3.3",),
        _CM,
        "use-service-account-credentials",
        one_of("true"),
        "--use-service-account-credentials=true",
        "One account for all may do everything.",
    ),
    flags(
        "cm-keys",
        "The controller manager signs with the cluster's key and names its authority",
        ("1.3.4", "1.3.5"),
        _CM,
        (
            "service-account-private-key-file",
            "root-ca-file",
        ),
        _WHO,
    ),
    flag(
        "cm-rotate",
        "Serving certificates of kubelets can be renewed",
        ("1.3.6",),
        _CM,
        "feature-gates",
        lambda v: "RotateKubeletServerCertificate=false" not in (v or ""),
        "RotateKubeletServerCertificate is not off",
        "Certificates that cannot be renewed are made to last.",
        "low",
    ),
    _local(_CM, "cm-local", "1.3.7"),
    flag(
        "scheduler-profiling",
        "The scheduler has no profiling",
        ("1.4.1",),
        _SCHEDULER,
        "profiling",
        one_of("false"),
        "--profiling=false",
        _PROFILE,
        "low",
    ),
    _local(_SCHEDULER, "scheduler-local", "1.4.2"),
    flags(
        "etcd-serving",
        "etcd has a certificate",
        ("2.1",),
        _ETCD,
        (
            "cert-file",
            "key-file",
        ),
        _ETCD_WHY,
    ),
    flag(
        "etcd-clients",
        "etcd asks clients for a certificate",
        ("2.2",),
        _ETCD,
        "client-cert-auth",
        one_of("true"),
        "--client-cert-auth=true",
        _ETCD_WHY,
        "high",
    ),
    flag(
        "etcd-auto-tls",
        "etcd makes no certificates up",
        ("2.3",),
        _ETCD,
        "auto-tls",
        not_true,
        "no --auto-tls",
        _ETCD_WHY,
        "high",
    ),
    flags(
        "etcd-peer-serving",
        "etcd members have certificates for each other",
        ("2.4",),
        _ETCD,
        (
            "peer-cert-file",
            "peer-key-file",
        ),
        _ETCD_WHY,
    ),
    flag(
        "etcd-peers",
        "etcd asks members for a certificate",
        ("2.5",),
        _ETCD,
        "peer-client-cert-auth",
        one_of("true"),
        "--peer-client-cert-auth=true",
        _ETCD_WHY,
        "high",
    ),
    flag(
        "etcd-peer-auto-tls",
        "etcd makes no certificates up for members",
        ("2.6",),
        _ETCD,
        "peer-auto-tls",
        not_true,
        "no --peer-auto-tls",
        _ETCD_WHY,
        "high",
    ),
    Control(
        "etcd-ca",
        "etcd has an authority of its own",
        "high",
        "With one authority for both, every client of the API could log in to etcd.",
        "--trusted-ca-file of etcd is not --client-ca-file of the API server",
        _ca_of_etcd,
        "control_plane",
        ("2.7",),
    ),
    flag(
        "etcd-tls-floor",
        "etcd speaks TLS 1.2 or newer",
        (),
        _ETCD,
        "tls-min-version",
        one_of("TLS1.2", "TLS1.3"),
        "--tls-min-version=TLS1.2",
        "Older versions can be forged.",
    ),
)
