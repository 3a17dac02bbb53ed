"""What enforces NetworkPolicy and what denies by default, in a real API: put in, found whole, put right, taken out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.hardening import addons, network
from bmk.journal import Journal
from bmk.live.cluster import ClusterAccess, LiveCluster
from tests.services.cluster.conftest import no_ssh
from tests.services.hardening.conftest import Server, free_port, load_version, start, stop

pytestmark = pytest.mark.services
IMAGES = {name: f"10.87.0.1:5000/{name}@sha256:{'1' * 64}" for name in (network.ENGINE, addons.METRICS)}
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
def cluster(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveCluster]:
    """The cluster of lab-ha as commands see it."""
    monkeypatch.setenv("BMK_STATE_DIR", str(server.directory / "state"))
    journal = Journal.open(tmp_path)
    yield _seen(server, journal)
    journal.close()


def _seen(server: Server, journal: Journal) -> LiveCluster:
    access = ClusterAccess(server.kubeconfig, IMAGES, "standard", no_ssh)
    return LiveCluster((load_datacenter("lab-ha"), journal), "lab-ha", access)


def test_what_was_put_in_is_found_as_it_was_meant(cluster: LiveCluster, server: Server) -> None:
    """Nothing differs after one round, whatever the API adds by itself; namespaces of the file deny."""
    assert DAEMON in cluster.apply_policies()
    assert cluster.policies() == "current"
    assert cluster.apply_policies() == []
    denied = json.loads(server.kubectl("get", "networkpolicy", "-A", "-o", "json").stdout)["items"]
    assert {n["metadata"]["namespace"] for n in denied} >= {"default", "kube-public"}


def test_what_somebody_changed_is_put_back(cluster: LiveCluster, server: Server) -> None:
    """Another image, another capability, group 0, more rights, a policy that is gone: found by name, and put back."""
    cluster.apply_policies()
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
    assert set(cluster.apply_policies()) == {DAEMON, ROLE, f"NetworkPolicy/default/{network.DENY}"}
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
    assert cluster.apply_policies() == [f"NetworkPolicy/kube-system/{network.DENY}"]
    left = json.loads(server.kubectl("get", "networkpolicy", "-n", "kube-system", "-o", "json").stdout)["items"]
    assert [n["metadata"]["name"] for n in left] == ["metrics-server", "theirs"]


METRICS = "Deployment/kube-system/metrics-server"
SECRETS = ("get", "secrets", "-n", "kube-system", "-o", "json")


def test_metrics_come_by_one_certificate_whose_key_is_not_shown(
    cluster: LiveCluster, server: Server, tmp_path: Path
) -> None:
    """API servers believe the certificate that the Secret holds and no other; what drift and reports are told of the
    Secret has no key; with another certificate the Secret is another one, and the old one goes.
    """
    cluster.apply_policies()
    (secret,) = _secrets(server)
    shown = json.loads(server.kubectl("get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "json").stdout)["spec"]
    assert shown["caBundle"] == secret["data"]["tls.crt"]
    assert not shown.get("insecureSkipTLSVerify")
    assert secret["data"]["tls.key"] not in json.dumps(cluster.evidence(), default=str)
    (server.directory / "state/lab-ha/metrics/lab-ha.pem").unlink()
    other = _seen(server, Journal.open(tmp_path / "other"))
    assert METRICS in other.apply_policies()
    (after,) = _secrets(server)
    assert after["metadata"]["name"] != secret["metadata"]["name"]
    assert other.policies() == "current"


def test_what_was_done_to_metrics_is_put_back(cluster: LiveCluster, server: Server) -> None:
    """Kubelets that nobody verifies, an API that believes anybody, no Secret, no limit to what of DNS is evicted."""
    cluster.apply_policies()
    (secret,) = _secrets(server)
    insecure = (
        '[{"op": "replace", "path": "/spec/template/spec/containers/0/args/4", "value": "--kubelet-insecure-tls"}]'
    )
    anybody = '{"spec": {"caBundle": null, "insecureSkipTLSVerify": true}}'
    for command in (
        ("patch", "deployment", "metrics-server", "-n", "kube-system", "--type=json", "-p", insecure),
        ("patch", "apiservice", "v1beta1.metrics.k8s.io", "--type=merge", "-p", anybody),
        ("delete", "secret", "-n", "kube-system", secret["metadata"]["name"]),
        ("delete", "poddisruptionbudget", "-n", "kube-system", "coredns"),
    ):
        done = server.kubectl(*command)
        assert done.returncode == 0, done.stderr
    assert cluster.policies() == "stale"
    assert set(cluster.apply_policies()) == {
        METRICS,
        "APIService/v1beta1.metrics.k8s.io",
        f"Secret/kube-system/{secret['metadata']['name']}",
        "PodDisruptionBudget/kube-system/coredns",
    }
    assert cluster.policies() == "current"
    assert _secrets(server)[0]["data"] == secret["data"]


def _secrets(server: Server) -> list[dict[str, Any]]:
    found = json.loads(server.kubectl(*SECRETS).stdout)["items"]
    return [one for one in found if one["metadata"]["name"].startswith("metrics-server-")]
