"""lab-ha as it is in inventories/: three control planes behind a virtual address and two workers, by one command."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.containers.ha import outside
from tests.containers.rooted import until
from tests.lab import Lab, running

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("lab-ha", "lab-ha", tmp_path_factory.mktemp("ha"), own_cache=True) as lab:
        yield lab


def test_one_command_brings_up_all_of_it(lab: Lab) -> None:
    """From powered off to five Ready nodes and a passed smoke test."""
    lab.bmk("provision", "--yes")
    ready = {
        name: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for name, node in lab.nodes().items()
    }
    assert ready == dict.fromkeys(("cp-1", "cp-2", "cp-3", "worker-1", "worker-2"), "True")
    assert {check.level for check in lab.journal.since(kind="smoke.check")} == {"info"}


def test_it_is_what_the_file_says(lab: Lab) -> None:
    """No plan has anything to do, no control fails, nothing drifted: on the first day there is nothing to explain."""
    lab.bmk("plan")
    lab.bmk("drift")
    held = json.loads(lab.bmk("hardening", "-o", "json"))
    assert {v["state"] for v in held["results"]} <= {"pass", "na"}


def test_pods_reach_what_is_outside(lab: Lab) -> None:
    """From a pod on each node: a name outside, the deployer beside the nodes, and an address behind the gateway, where
    the node is seen and not the pod, as the file says it.
    """
    addresses = {name: node["status"]["addresses"][0]["address"] for name, node in lab.nodes().items()}
    with outside.machine(lab), outside.pods(lab, "10.87.0.1:5000/smoke:1") as pods:
        assert set(pods) == set(addresses)
        for node, pod in pods.items():
            assert "10.87.0.1" in outside.said(lab, pod, "nslookup deployer.bmk.test | tail -n 4")
            assert outside.said(lab, pod, "wget -q -T 5 -O - http://10.87.0.1/healthz")
            assert outside.said(lab, pod, f"nc -w 5 {outside.OUTSIDE} 8000 </dev/null") == addresses[node]


def test_names_are_served_from_two_nodes(lab: Lab) -> None:
    """CoreDNS began on the first control plane; its second replica waited for another node, and one stays at a time."""
    ask = f"{outside.KUBECTL} -n kube-system"
    pods = json.loads(lab.on("cp-1", f"{ask} get pods -l k8s-app=kube-dns -o json"))["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == len(pods) == 2
    budget = json.loads(lab.on("cp-1", f"{ask} get pdb coredns -o json"))["status"]
    assert (budget["disruptionsAllowed"], budget["desiredHealthy"]) == (1, 1)


def test_nodes_and_pods_are_measured(lab: Lab) -> None:
    """`kubectl top` of all nodes and of pods, by kubelets whose certificates are verified."""
    until(lambda: len(lab.on("cp-1", f"{outside.KUBECTL} top nodes --no-headers || true").split("%")) > 10, "all nodes")
    lines = [line.split() for line in lab.on("cp-1", f"{outside.KUBECTL} top nodes --no-headers").splitlines()]
    assert {line[0] for line in lines} == set(lab.nodes())
    assert "<unknown>" not in str(lines)
    assert "coredns" in lab.on("cp-1", f"{outside.KUBECTL} top pods -n kube-system --no-headers")
    runs = lab.on("cp-1", f"{outside.KUBECTL} -n kube-system get deployment metrics-server -o yaml")
    assert "--kubelet-certificate-authority=" in runs
    assert "insecure" not in runs


def test_who_asks_for_a_load_balancer_is_told_that_there_is_none(lab: Lab) -> None:
    """The Service is made, and kubectl prints why it stays pending."""
    said = lab.on("cp-1", f"{outside.KUBECTL} create service loadbalancer mine --tcp 80 2>&1")
    assert "service/mine created" in said
    assert "stays pending" in said
    lab.on("cp-1", f"{outside.KUBECTL} delete service mine")
