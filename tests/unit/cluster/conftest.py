"""Hosts of a cluster behind a VIP, as the inventory and the probe describe them; golden files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmk.cluster.kubeadm import Node

HERE = Path(__file__).parent
HARDENING = {
    "groups": {"default": "warn", "namespaces": {}, "exempt": ["kube-system"]},
    "pod_security": {"enforce": "restricted", "exempt": ["kube-system"]},
}
FACTS = {"cgroup": 2, "container": False, "sys_resource": True, "nft_queue": True}
CLUSTER = {
    "name": "apps",
    "kubernetes": {"version": "1.37.2"},
    "endpoint": {"host": "10.20.0.10", "port": 6443},
    "vip": "10.20.0.10",
    "control_plane": [{"name": "cp-1", "address": "10.20.0.11"}, {"name": "cp-2", "address": "10.20.0.12"}],
    "several": True,
    "hardening": HARDENING,
    "network": {
        "plugin": "routed",
        "pods": "10.128.0.0/16",
        "services": "10.96.0.0/16",
        "node_prefix": 24,
        "bgp": {"asn": 64512, "peers": []},
    },
}
IMAGES = {"kube-apiserver": "10.20.0.1:5000/kube-apiserver:v1.37.2"}


@pytest.fixture
def node() -> Callable[..., Node]:
    """A node: node(role="worker", timing="emulated", cgroup=1, vip=None, labels={...}, plugin="cilium")."""

    def make(role: str = "control_plane", timing: str = "standard", **other: Any) -> Node:
        host = {"name": "cp-1", "role": role, "address": "10.20.0.11", "labels": other.pop("labels", {})}
        own = {"plugin": other.pop("plugin", "routed"), "node_prefix": other.pop("node_prefix", 24)}
        network = CLUSTER["network"] | own  # type: ignore[operator]
        own_cluster = {"vip": other.pop("vip", "10.20.0.10"), "several": other.pop("several", True)}
        cluster = CLUSTER | own_cluster | {"network": network}
        variables = {"bmk_cluster": cluster, "bmk_host": host, "bmk_images": IMAGES, "bmk_timing": timing}
        return Node.of(variables, FACTS | other)

    return make


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a file below golden/; BMK_GOLDEN=write writes it, for review as a diff."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if os.environ.get("BMK_GOLDEN") == "write":
            path.write_text(text)
        assert text == path.read_text(), f"{name} changed: review with BMK_GOLDEN=write and git diff"

    return compare
