"""Severity, repair, note and next command of a broad list of differences: as before facts carried them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import product

from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference

OWNED_BY_ROLE = ("files:/usr/local/bin/kubelet", "units:a.service", "sysctls:kernel.panic", "packages:a", "users:etcd",
                 "groups:bmk-cri", "kernel_modules:overlay", "routes:x")  # fmt: skip
DESIRED = Desired(
    owners=dict.fromkeys(OWNED_BY_ROLE, "role kubelet") | {"files:/etc/kubernetes/kubelet.conf": "kubeadm"},
    texts={"/etc/hosts": "a\n", "/etc/cron.d/x": "b\n"},
)
PATHS = """/etc/kubernetes/manifests/etcd.yaml /etc/bmk/manifest.json /etc/bmk/x /root/.ssh/authorized_keys /root/.ssh
    /etc/sudoers /etc/sudoers.d/x /etc/ssh/sshd_config /etc/cron.d/x /etc/crontab /etc/ld.so.preload /etc/pam.d/x
    /etc/apt/sources.list /etc/kubernetes/bmk/audit.yaml /usr/local/bin/kubelet /opt/cni/bin/bridge /etc/cni/net.d/x
    /etc/systemd/system/x.service /run/systemd/system/x /etc/hosts /etc/kubernetes/kubelet.conf /etc/fstab"""
NAMES = {
    "files": PATHS.split(),
    "authorized_keys": ["root ssh-ed25519 x", "bob ssh-ed25519 x"],
    "users": ["root", "etcd"],
    "groups": ["bmk-cri", "x"],
    "listeners": ["tcp 1 nc"],
    "bindings": ["cluster-admin", "a/b"],
    "images": ["etcd sha256:x"],
    "routes": ["x"],
    "nftables": ["inet bmk-masquerade"],
    "disks": ["S1"],
    "policies": ["ValidatingAdmissionPolicy/x", "PodDisruptionBudget/a/b", "DaemonSet/a/b"],
    "packages": ["a", "b"],
    "units": ["a.service", "b.service"],
    "sysctls": ["kernel.panic", "net.ipv4.conf.all.rp_filter", "vm.swappiness"],
    "kernel_modules": ["overlay", "x"],
    "kernel": ["cmdline", "firmware", "release", "container"],
    "boot": ["first", "next"],
    "mounts": ["swap /x", "/", "/var"],
    "network": ["default route", "nic 00:11", "address 10.0.0.1"],
    "certificates": ["/x.crt"],
    "containerd": ["version"],
    "clock": ["time", "sync"],
    "kubelet": ["podPidsLimit"],
    "bmc": ["identity", "power", "boot", "Critical event x", "Warning event y"],
    "nodes": ["n1", "n1 label role", "n1 taint a:NoSchedule"],
    "unheard-of": ["x"],
}
FIELDS = [
    "mode",
    "owner",
    "group",
    "sha256",
    "type",
    "value",
    "build",
    "active",
    "masked",
    "fresh",
    "enabled",
    "drop_ins",
    "held",
    "version",
    "installed",
    "read_only",
    "mtu",
    "up",
    "valid",
    "valid_in_30_days",
    "role",
    "subjects",
    "next",
    "serial",
    "uid",
    "password",
    "options",
    "right",
    "synchronised",
]


BEFORE = {
    "authorized_keys": "1361cfd81604316a",
    "bindings": "ebe912e3753f4b9d",
    "bmc": "18a0050988a75012",
    "boot": "b976ab5c324f052e",
    "certificates": "89c0d6143a7672f9",
    "clock": "42ac2602d8d3ffed",
    "containerd": "feed1acbe3566220",
    "disks": "7fbefa47bf914378",
    "files": "ca595a148c11d2d7",
    "groups": "417c1abba84b2744",
    "images": "80557af36ebebf66",
    "kernel": "bbbb1f0ab6e6e5da",
    "kernel_modules": "b7556d343cb638d2",
    "kubelet": "158609ec713366e5",
    "listeners": "b3583c3595e54e31",
    "mounts": "114b5780e1619dc4",
    "network": "a57af020e570f7e6",
    "nftables": "6e6dc3598d091104",
    "nodes": "aee555efb063e8e6",
    "packages": "2771c398054d796f",
    "policies": "fbfe7a71af15e686",
    "routes": "a320f8ec57f0ab8c",
    "sysctls": "dd8fb99d6c4a3bc2",
    "unheard-of": "0ee561402598dc9d",
    "units": "8b9646d166807223",
    "users": "08e0a60569afdd9a",
}


def differences() -> Iterator[Difference]:
    for kind, names in NAMES.items():
        for name, field in product(names, FIELDS):
            yield Difference(kind, name, field, "1", "2")
            yield Difference(kind, name, field, None, "2")
        for name in names:
            yield Difference(kind, name, "", "value 1", None)
            yield Difference(kind, name, "", None, "value 1")


def classified() -> dict[str, str]:
    """A digest of all that `classify` says, by kind."""
    found: dict[str, list[list[str]]] = {}
    for d in differences():
        f = classify("par", "r1-01", d, DESIRED, {})
        found.setdefault(d.kind, []).append([d.key, str(d.want), str(d.have), f.severity, f.repair, f.note, f.next])
    return {kind: hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] for kind, rows in found.items()}


def test_each_difference_is_classified_as_before() -> None:
    """Severity, repair, note and next command of each difference are those on record."""
    assert classified() == BEFORE
