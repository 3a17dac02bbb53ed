"""The kubelet's configuration: one for the cluster, hardened, and a patch for what a single host needs otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bmk.hardening.apiserver import TLS_CIPHERS

if TYPE_CHECKING:
    from bmk.cluster.kubeadm import Node


# A system container sees the disk of the machine around it. How full that is, in percent, is not this node's doing: by
# the kubelet's defaults a developer's disk at 85 % evicts every pod.
_DISK_OF_OTHERS: dict[str, Any] = {
    "evictionHard": {
        "memory.available": "100Mi",
        "nodefs.available": "1Gi",
        "nodefs.inodesFree": "1%",
        "imagefs.available": "1Gi",
        "imagefs.inodesFree": "1%",
    },
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
}


_PODS = 110  # that a kubelet takes unless it is told otherwise; those above the node's range would wait for an address


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


def pods_of_a_node(prefix: int) -> int:
    """Addresses that a node's range has for pods: not the first, the last or the bridge's."""
    return (1 << (32 - prefix)) - 3


def kubelet_patch(node: Node) -> dict[str, Any]:
    """What this host needs otherwise: patience without KVM, cgroup v1, kernel settings that belong to somebody else."""
    patch: dict[str, Any] = dict(node.profile.kubelet)
    if node.facts["cgroup"] == 1:
        patch |= {"failCgroupV1": False, "cgroupDriver": "cgroupfs"}
    if node.facts["container"]:
        patch |= {"protectKernelDefaults": False, **_DISK_OF_OTHERS}
    if (room := pods_of_a_node(node.cluster["network"]["node_prefix"])) < _PODS:
        patch["maxPods"] = room
    if not patch:
        return {}
    return {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **patch}
