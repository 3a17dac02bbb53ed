"""Severities, owners and next commands."""

from __future__ import annotations

import pytest

from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference

OWNERS = {
    "files:/etc/containerd/config.toml": "role container_runtime",
    "units:kubelet.service": "role kubelet",
    "sysctls:net.ipv4.ip_forward": "role node_baseline",
    "packages:haproxy": "role control_plane",
}
DESIRED = Desired(owners=OWNERS, texts={"/etc/kubernetes/manifests/etcd.yaml": "a\n"})


@pytest.mark.parametrize(
    ("difference", "severity", "repair"),
    [
        (Difference("files", "/etc/kubernetes/manifests/etcd.yaml", "sha256", "a", "b"), "security", "converge"),
        (Difference("files", "/etc/kubernetes/manifests/evil.yaml", "", None, "file"), "security", "converge"),
        (Difference("files", "/usr/local/bin/kubelet", "sha256", "a", "b"), "security", ""),
        (Difference("files", "/etc/containerd/config.toml", "sha256", "a", "b"), "degraded", "converge"),
        (Difference("files", "/etc/containerd/config.toml", "mode", "0640", "0666"), "security", "converge"),
        (Difference("files", "/etc/fstab", "sha256", "a", "b"), "degraded", ""),
        (Difference("authorized_keys", "root ssh-ed25519 SHA256:x", "", None, ""), "security", "converge"),
        (Difference("authorized_keys", "bob ssh-ed25519 SHA256:x", "", None, ""), "security", ""),
        (Difference("users", "toor", "", None, "uid 0"), "security", ""),
        (Difference("listeners", "tcp 4444 nc", "", None, ""), "security", ""),
        (Difference("units", "kubelet.service", "active", True, False), "breaking", "converge"),
        (Difference("units", "kubelet.service", "fresh", True, False), "benign", "converge"),
        (Difference("sysctls", "net.ipv4.ip_forward", "value", "1", "0"), "degraded", "converge"),
        (Difference("packages", "haproxy", "", "installed True", None), "breaking", "converge"),
        (Difference("packages", "haproxy", "version", "1", "2"), "degraded", ""),
        (Difference("files", "/usr/local/bin/nc", "", None, "type file"), "security", "converge"),
        (Difference("files", "/usr/local/bin/kubelet", "", "type file", None), "breaking", ""),
        (Difference("bindings", "cluster-admin", "subjects", "a", "a, b"), "security", "api"),
        (Difference("policies", "ValidatingAdmissionPolicy/x", "failurePolicy", "Fail", "Ignore"), "security", "api"),
        (Difference("images", "kube-proxy sha256:x", "", None, "image kube-proxy:v1"), "security", ""),
        (Difference("images", "etcd sha256:x", "build", "the mirror's", "an earlier one"), "degraded", ""),
        (Difference("kubelet", "podPidsLimit", "value", "4096", "-1"), "security", "converge"),
        (Difference("routes", "10.0.0.0/8 via 10.1.1.1", "", None, "device eth0"), "security", ""),
        (Difference("boot", "first", "value", "bmk", "UEFI PXEv4"), "degraded", "converge"),
        (Difference("boot", "next", "", None, "value UEFI PXEv4"), "degraded", "converge"),
        (Difference("boot", "first", "", "value bmk", None), "degraded", ""),
        (Difference("kernel", "firmware", "value", "uefi", "bios"), "degraded", ""),
        (Difference("disks", "S1", "", "size 1", None), "breaking", ""),
        (Difference("bmc", "Critical event 2026 Fan failed", "", None, ""), "breaking", ""),
        (Difference("bindings", "rogue", "", None, "role cluster-admin"), "security", "api"),
        (Difference("nodes", "w label role", "value", "worker", "x"), "degraded", "api"),
        (Difference("nodes", "w taint a:NoSchedule", "", None, ""), "degraded", "api"),
        (Difference("nodes", "w", "", "version v1", None), "breaking", ""),
        (Difference("bmc", "boot", "next", "disk", "pxe once"), "degraded", "bmc"),
        (Difference("bmc", "power", "value", "on", "off"), "degraded", ""),
        (Difference("certificates", "/x.crt", "valid_in_30_days", True, False), "degraded", ""),
        (Difference("certificates", "/x.crt", "valid", True, False), "breaking", ""),
    ],
)
def test_each_kind_has_its_class_and_its_repair(difference: Difference, severity: str, repair: str) -> None:
    """What an intruder would do is security, what stops work is breaking; a repair is named only where it happens."""
    finding = classify("par", "r1-01", difference, DESIRED, {})
    assert (finding.severity, finding.repair) == (severity, repair)
    assert finding.next.startswith("bmk ")
    assert ("provision par" in finding.next) == bool(repair)


def test_an_unknown_kind_is_degraded() -> None:
    """A kind that no module defines has a severity too."""
    assert classify("par", "x", Difference("strange", "thing", "f", 1, 2), Desired(), {}).severity == "degraded"


def test_a_difference_says_who_declared_it_and_what_changed() -> None:
    """Owner and masked diff come from the baseline."""
    d = Difference("files", "/etc/kubernetes/manifests/etcd.yaml", "sha256", "a", "b")
    finding = classify("par", "x", d, DESIRED, {"/etc/kubernetes/manifests/etcd.yaml": "b\n"})
    assert "-a\n+b" in finding.diff
    assert classify("par", "x", Difference("units", "kubelet.service", "active", True, False), DESIRED, {}).owner == (
        "role kubelet"
    )
