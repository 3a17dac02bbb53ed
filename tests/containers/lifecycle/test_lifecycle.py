"""The life of lab-ha's hosts: out of service and back, removed for good and taken back, and the end of the cluster."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator

import pytest

from bmk.journal.installation import installations
from bmk.journal.records import MaintenanceRecord, ResetOrder
from tests.containers.rooted import until
from tests.lab import Lab, own_file, ready, running

pytestmark = pytest.mark.containers
SEED = int(os.environ.get("BMK_KILLS_SEED") or time.time_ns())
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
KILLS = 10


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """lab-ha with a file of its own, from powered off to Ready."""
    place = tmp_path_factory.mktemp("lifecycle")
    with running("lab-ha", str(own_file(place)), place, own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        yield lab


def power(lab: Lab, host: str) -> str:
    (row,) = json.loads(lab.bmk("power status", host, "-o", "json"))
    return str(row["power"])


def asked(lab: Lab, host: str) -> str:
    """Its node as another control plane's API has it: cordoned and Ready, as `kubectl get` prints them."""
    other = "cp-2" if host == "cp-1" else "cp-1"
    return lab.on(other, f"{KUBECTL} get node {host} --no-headers")


@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("host", ["worker-1", "cp-1"])
def test_a_host_is_out_of_service_and_back(lab: Lab, host: str, seed: int) -> None:
    """Killed at ten points each way: off, left alone by everybody who says so, and back as it was."""
    chance, before = random.Random(seed), installations(lab.journal)
    on = ("maintenance", host, "on", "--reason", "fans")
    assert "cordon and drain its node" in lab.bmk(*on, "--plan", code=2)
    lab.killed(chance, (1, 12), KILLS, *on, "--yes")
    assert power(lab, host) == "off"
    assert "SchedulingDisabled" in asked(lab, host)
    assert f"bmk maintenance {lab.dc} {host} off" in lab.bmk("status", "-o", "wide")
    assert "left alone" in lab.bmk("plan")
    lab.bmk("provision", "--yes")
    assert {s["state"] for s in lab.drift(0).values()} == {"clean", "alone"}
    assert "left alone" in lab.bmk("verify")
    lab.killed(chance, (1, 12), KILLS, "maintenance", host, "off", "--yes")
    assert "SchedulingDisabled" not in asked(lab, host)
    assert MaintenanceRecord.load_all(lab.journal) == {}
    assert installations(lab.journal) == before
    assert all(ready(node) for node in lab.nodes().values())
    lab.bmk("plan")
    assert {s["state"] for s in lab.drift(0).values()} == {"clean"}


def test_a_second_control_plane_is_refused(lab: Lab) -> None:
    """While one is away; the refused one serves on."""
    lab.bmk("maintenance", "cp-2", "on", "--reason", "fans", "--yes")
    lab.bmk("maintenance", "cp-3", "on", "--reason", "fans", "--yes", code=6)
    assert power(lab, "cp-3") == "on"
    lab.bmk("maintenance", "cp-2", "off", "--yes")


@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("host", ["worker-2", "cp-3"])
def test_a_host_leaves_for_good_and_is_taken_back(lab: Lab, host: str, seed: int) -> None:
    """Killed at ten points: no node, no member of etcd, off; on again it serves nobody, until a reinstall."""
    chance = random.Random(seed)
    assert "its disk is not wiped" in lab.bmk("remove", host, "--plan", code=2)
    lab.killed(chance, (1, 12), KILLS, "remove", host, "--yes")
    assert power(lab, host) == "off"
    assert host not in lab.nodes()
    assert "bmk reinstall" in lab.bmk("plan")
    lab.bmk("provision", "--yes")
    assert {s["state"] for s in lab.drift(0).values()} == {"clean", "alone"}
    lab.bmk("power on", host, "--yes")
    until(lambda: answers(lab, host), f"{host} answers")
    left = lab.on(host, "ls -A /etc/kubernetes /var/lib/etcd /var/lib/kubelet /etc/bmk/kubeadm.json 2>&1; true")
    assert ".conf" not in left
    assert "pki" not in left
    assert "No such file" in left
    assert lab.on(host, "systemctl is-active kubelet keepalived; true").split().count("active") == 0
    lab.bmk("remove", host, "--yes")
    assert power(lab, host) == "off"
    lab.bmk("reinstall", host, "--yes")
    assert all(ready(node) for node in lab.nodes().values())
    assert host in lab.nodes()
    lab.bmk("plan")


def test_a_dead_worker_leaves(lab: Lab) -> None:
    """Its power is cut: its node goes, and a reinstall brings it back."""
    lab.bmk("power off", "worker-2", "--yes")
    lab.bmk("remove", "worker-2", "--yes")
    assert "worker-2" not in lab.nodes()
    lab.bmk("reinstall", "worker-2", "--yes")
    assert set(lab.nodes()) == {"cp-1", "cp-2", "cp-3", "worker-1", "worker-2"}


@pytest.mark.parametrize("seed", [SEED])
def test_a_cluster_ends_and_is_made_anew(lab: Lab, seed: int) -> None:
    """Killed at ten points: all machines stay installed and on, and what the old cluster knew is gone."""
    before = installations(lab.journal)
    lab.on("cp-1", f"{KUBECTL} create configmap old --from-literal=a=b")
    lab.bmk("reset", "lab-ha", "--confirm", "lab", code=8)
    chance = random.Random(seed)
    lab.killed(chance, (1, 12), KILLS, "reset", "lab-ha", "--confirm", "lab-ha")
    assert ResetOrder.load_all(lab.journal) == {}
    assert {power(lab, host) for host in before} == {"on"}
    lab.bmk("reset", "lab-ha", "--confirm", "lab-ha")
    lab.bmk("provision", "--yes")
    assert installations(lab.journal) == before
    assert all(ready(node) for node in lab.nodes().values())
    assert "old" not in lab.on("cp-1", f"{KUBECTL} get configmap -o name")
    lab.bmk("plan")
    assert {s["state"] for s in lab.drift(0).values()} == {"clean"}


def answers(lab: Lab, host: str) -> bool:
    return "here" in lab.bmk("ssh", host, "--", "echo here", code=None)
