"""Workers: in the cluster, with the rights of one node and nothing of a control plane."""

from __future__ import annotations

from typing import Any

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=30s"
OF_CONTROL_PLANES = (6443, 2379, 2380, 10257, 10259)
READY = '{.status.conditions[?(@.type=="Ready")].status} {.status.nodeInfo.kubeletVersion}'


def test_its_node_is_ready(host: Any) -> None:
    """The API knows this node as Ready, with the kubelet that is installed."""
    said = host.run(f"{KUBECTL} get node $(uname -n) -o jsonpath='{READY}' 2>&1; echo; kubelet --version")
    ready, _, installed = said.stdout.partition("\n")
    assert ready == f"True {installed.split()[-1]}", f"{ready}; installed is {installed}"


def test_it_has_the_rights_of_one_node(host: Any) -> None:
    """With its credentials nobody reads the secrets of the cluster."""
    said = host.run(f"{KUBECTL} auth can-i list secrets --all-namespaces 2>&1").stdout
    assert "no" in [line.partition(" ")[0] for line in said.splitlines()], said


def test_nothing_of_a_control_plane_is_here(host: Any) -> None:
    """No keys of the cluster, no administrator, no static pods, nobody on their ports."""
    names = ("admin.conf", "super-admin.conf", "pki/*.key", "manifests/*")
    paths = " ".join(f"/etc/kubernetes/{name}" for name in names)
    ports = " or ".join(f"sport = :{port}" for port in OF_CONTROL_PLANES)
    found = host.check_output(f"ls -d {paths} 2>/dev/null; ss -Hltn '( {ports} )'")
    assert not found, found


def test_no_ticket_is_left(host: Any) -> None:
    """What let it join is gone: no bootstrap credentials, no configuration of kubeadm with a token."""
    left = host.check_output("ls -d /etc/kubernetes/bootstrap-kubelet.conf /run/bmk-kubeadm-* 2>/dev/null; true")
    assert not left, left
