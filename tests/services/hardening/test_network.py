"""What enforces NetworkPolicy and what denies by default, in a real API: put in, found whole, put right, taken out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.hardening import network
from bmk.journal import Journal
from bmk.phases.member import LiveCluster
from tests.services.hardening.conftest import Server, free_port, load_version, start, stop

pytestmark = pytest.mark.services
IMAGES = {network.ENGINE: f"10.87.0.1:5000/{network.ENGINE}@sha256:{'1' * 64}"}
DAEMON, ROLE = "DaemonSet/kube-system/kube-network-policies", "ClusterRole/kube-network-policies"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of its own: what is put in here is for a whole cluster."""
    found = Server(tmp_path_factory.mktemp("api"), free_port(), free_port(), load_version())
    running = start(found)
    try:
        yield found
    finally:
        stop(running)


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Iterator[LiveCluster]:
    """The cluster of lab-ha as commands see it."""
    journal = Journal(tmp_path / "journal.db")
    yield LiveCluster((load_datacenter("lab-ha"), journal), "lab-ha", server.kubeconfig, IMAGES, "standard")
    journal.close()


def test_what_was_put_in_is_found_as_it_was_meant(cluster: LiveCluster, server: Server) -> None:
    """Nothing differs after one round, whatever the API adds by itself; namespaces of the file deny."""
    assert DAEMON in cluster.guard()
    assert cluster.policies() == "current"
    assert cluster.guard() == []
    denied = json.loads(server.kubectl("get", "networkpolicy", "-A", "-o", "json").stdout)["items"]
    assert {n["metadata"]["namespace"] for n in denied} >= {"default", "kube-public"}


def test_what_somebody_changed_is_put_back(cluster: LiveCluster, server: Server) -> None:
    """Another image, another capability, group 0, more rights, a policy that is gone: found by name, and put back."""
    cluster.guard()
    more = {
        "name": network.ENGINE,
        "image": "elsewhere/e:1",
        "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}},
    }
    change = {"containers": [more], "securityContext": {"runAsGroup": 0}}
    patch = json.dumps({"spec": {"template": {"spec": change}}})
    asked = server.kubectl("patch", "ds", network.ENGINE, "-n", "kube-system", "--type=strategic", "-p", patch)
    assert asked.returncode == 0, asked.stderr
    rule = (
        '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}}]'
    )
    assert server.kubectl("patch", "clusterrole", network.ENGINE, "--type=json", "-p", rule).returncode == 0
    assert server.kubectl("delete", "networkpolicy", network.DENY, "-n", "default").returncode == 0
    assert cluster.policies() == "stale"
    assert set(cluster.guard()) == {DAEMON, ROLE, f"NetworkPolicy/default/{network.DENY}"}
    assert cluster.policies() == "current"
    shown = json.loads(server.kubectl("get", "ds", network.ENGINE, "-n", "kube-system", "-o", "json").stdout)
    pod = shown["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == IMAGES[network.ENGINE]
    assert pod["containers"][0]["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"]
    assert pod["securityContext"]["runAsGroup"] > 0


def test_a_namespace_that_the_file_names_no_more_is_open_again(cluster: LiveCluster, server: Server) -> None:
    """What bmk made and the file does not ask for goes; policies of others stay."""
    (ours,) = network.denials(["kube-system"])
    theirs = {**ours, "metadata": {"name": "theirs", "namespace": "kube-system"}}
    for body in (ours, theirs):
        assert server.kubectl("create", "-f", "-", send=body).returncode == 0
    assert cluster.guard() == [f"NetworkPolicy/kube-system/{network.DENY}"]
    left = json.loads(server.kubectl("get", "networkpolicy", "-n", "kube-system", "-o", "json").stdout)["items"]
    assert [n["metadata"]["name"] for n in left] == ["theirs"]
