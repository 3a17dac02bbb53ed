"""lab-ha from the previous minor version of Kubernetes to the lock's own, under load; and killed at random points."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bmk.artifacts.lock import load_lock
from bmk.artifacts.mirror import open_mirror
from bmk.cluster.smoke import pod_manifest
from bmk.datacenter.load import load_datacenter
from bmk.errors import Exit
from tests.lab import Lab, own_file, ready, running

pytestmark = pytest.mark.containers
NEW, OLD = load_lock().kubernetes[:2]
SEED = int(os.environ.get("BMK_KILLS_SEED") or time.time_ns())
KILLS = 20
PLANES, WORKERS = ("cp-1", "cp-2", "cp-3"), ("worker-1", "worker-2")
POLLER = Path(__file__).parents[1] / "certs" / "poller.py"
OUTAGE = 30.0  # seconds through the VIP that nobody may be without an answer; the count of errors is printed
GO_ON = ("--yes", "--accept", "backup=the lab keeps no backups")
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
OBJECTS = 200


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """lab-ha, provisioned with the old version; then its file asks for the new one."""
    file = own_file(tmp_path)
    wants(file, OLD)
    with running("lab-ha", str(file), tmp_path, own_cache=True) as lab:
        lab.bmk("provision", "--yes", seconds=5400)  # with what it takes to build the old version, once
        assert versions(lab) == {f"v{OLD}"}
        wants(file, NEW)
        yield lab


def wants(file: Path, version: str) -> None:
    file.write_text(
        re.sub(r"kubernetes: \{version: [0-9.]+\}", f"kubernetes: {{version: {version}}}", file.read_text())
    )


def versions(lab: Lab) -> set[str]:
    return {node["status"]["nodeInfo"]["kubeletVersion"] for node in lab.nodes().values()}


def apply(lab: Lab, *manifests: dict[str, Any]) -> None:
    """By the API, in one call."""
    body = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    text = base64.b64encode(json.dumps(body).encode()).decode()
    lab.on("cp-1", f"echo {text} | base64 -d | {KUBECTL} apply -f - > /dev/null")


def workload(lab: Lab) -> None:
    """A Deployment of three with a budget that lets one go at a time, and objects that are read back later."""
    image = open_mirror().as_vars(load_datacenter(lab.dc).spec.deployer)[1]["smoke"]
    pod = pod_manifest("x", image)["spec"]
    template = {**{k: v for k, v in pod.items() if k not in ("nodeSelector", "tolerations")}}
    labels = {"app": "web"}
    web = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
        },
    }
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }
    apply(lab, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, web, budget, *objects())
    lab.on("cp-1", f"{KUBECTL} -n shop rollout status deployment web --timeout 300s")


def objects() -> list[dict[str, Any]]:
    """Secrets, which are encrypted at rest, and what is in them."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"s{n}", "namespace": "shop"},
            "stringData": {"value": f"written before {n}"},
        }
        for n in range(OBJECTS)
    ]


def read_back(lab: Lab) -> None:
    """Every object that was written before is there, as it was."""
    found = json.loads(lab.on("cp-1", f"{KUBECTL} -n shop get secret -o json"))["items"]
    known = {one["metadata"]["name"]: base64.b64decode(one["data"]["value"]).decode() for one in found}
    assert known == {f"s{n}": f"written before {n}" for n in range(OBJECTS)}


@contextmanager
def polled(lab: Lab) -> Iterator[dict[str, Any]]:
    """A client that reads through the VIP; what it counted, afterwards."""
    kubeconfig = lab.state / "lab-ha" / "kubeconfig" / "lab-ha"
    command = lab.entered(sys.executable, str(POLLER), str(kubeconfig))
    counted: dict[str, Any] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "polls\n"
        yield counted
        counted |= json.loads(client.communicate(timeout=60)[0])


def is_done(lab: Lab) -> None:
    """All Ready at the new version and taking pods; every API server says it; nothing is left to do or to repair."""
    nodes = lab.nodes()
    assert set(nodes) == {*PLANES, *WORKERS}
    assert versions(lab) == {f"v{NEW}"}
    assert all(ready(node) and not node["spec"].get("unschedulable") for node in nodes.values())
    hosts = load_datacenter(lab.dc).hosts
    for name in PLANES:
        said = lab.on("cp-1", f"{KUBECTL} --server https://{hosts[name].address}:6443 get --raw /version")
        assert json.loads(said)["gitVersion"] == f"v{NEW}"
        assert not lab.on(name, "ls /etc/kubernetes/tmp 2>/dev/null || true").strip(), "kubeadm's copies of etcd"
    lab.bmk("upgrade", "--plan")
    began = lab.journal.last_seq()
    lab.bmk("upgrade", "--yes")
    assert lab.journal.since(began, kind="task.changed") == []
    lab.bmk("plan")
    standings = lab.drift(None)
    assert {name: s["state"] for name, s in standings.items() if s["state"] not in ("clean", "benign")} == {}


def test_a_cluster_is_upgraded_under_load(lab: Lab, record_property: Any) -> None:
    """The plan says all; the run does it once, objects and budgets hold, and the client is hardly without an answer."""
    workload(lab)
    plan = lab.bmk("upgrade", "--plan", code=Exit.PENDING)
    assert f"{OLD} to {NEW}" in plan
    assert "cp-1, cp-2, cp-3" in plan
    lab.bmk("provision", "--yes", code=Exit.REFUSED)
    began = time.monotonic()
    with polled(lab) as counted:
        lab.bmk("upgrade", *GO_ON, seconds=3600)
    seconds = time.monotonic() - began
    each = {e.host: e.data["seconds"] for e in lab.journal.since(kind="phase.finished") if e.phase == "upgraded"}
    sys.stdout.write(f"{seconds:.0f} s for five hosts; kubeadm: {each}; the client counted {counted}\n")
    record_property("seconds", seconds)
    record_property("client", counted)
    read_back(lab)
    is_done(lab)
    assert counted["longest"] < OUTAGE, counted


def test_killed_at_random_points_the_same_command_finishes(lab: Lab, record_property: Any) -> None:
    """After each kill the same command goes on; the client has an answer all the time, and nothing is lost."""
    workload(lab)
    chance = random.Random(SEED)
    with polled(lab) as counted:
        lab.killed(chance, (5, 90), KILLS, "upgrade", *GO_ON, seconds=3600)
    sys.stdout.write(f"seed {SEED}: the client counted {counted}\n")
    record_property("client", counted)
    read_back(lab)
    is_done(lab)
    assert counted["longest"] < OUTAGE, counted
