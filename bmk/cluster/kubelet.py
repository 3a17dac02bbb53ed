"""The kubelet's configuration: one for the cluster, hardened, and a patch for what a single host needs otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bmk.cluster.kubeadm import Node

TLS_CIPHERS = [  # of TLS 1.2; those of 1.3 are not configurable and all good
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
]


def kubelet_configuration() -> dict[str, Any]:
    """For all nodes of the cluster. CIS 4.2.x, and seccomp by default."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "readOnlyPort": 0,
        "streamingConnectionIdleTimeout": "5m0s",
        "makeIPTablesUtilChains": True,
        "eventRecordQPS": 50,
        "serverTLSBootstrap": True,
        "rotateCertificates": True,
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": TLS_CIPHERS,
        "podPidsLimit": 4096,
        "seccompDefault": True,
        "protectKernelDefaults": True,
        "failCgroupV1": True,
        "userNamespaces": {"idsPerPod": 65536},
        "resolvConf": "/etc/resolv.conf",
        "imageGCHighThresholdPercent": 85,
        "imageGCLowThresholdPercent": 75,
    }


def kubelet_patch(node: Node) -> dict[str, Any]:
    """What this host needs otherwise: patience without KVM, cgroup v1, kernel settings that belong to somebody else."""
    patch: dict[str, Any] = dict(node.profile.kubelet)
    if node.facts["cgroup"] == 1:
        patch |= {"failCgroupV1": False, "cgroupDriver": "cgroupfs"}
    if node.facts["container"]:
        patch["protectKernelDefaults"] = False
    if not patch:
        return {}
    return {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **patch}
