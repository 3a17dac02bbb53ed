"""The life of lab-ha's hosts: maintenance of a worker and of a control plane, and what else looks at them meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.journal.installation import installations
from bmk.journal.records import MaintenanceRecord
from tests.lab import Lab, ready, running

pytestmark = pytest.mark.containers
SEED = int(os.environ.get("BMK_KILLS_SEED") or time.time_ns())
INVENTORY = Path(__file__).resolve().parents[3] / "inventories" / "lab-ha"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
KILLS = 10


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """lab-ha with a file of its own, from powered off to Ready."""
    place = tmp_path_factory.mktemp("lifecycle")
    shutil.copytree(INVENTORY, place / "dc")
    with running("lab-ha", str(place / "dc" / "dc.yml"), place, own_cache=True) as lab:
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


def killed(lab: Lab, chance: random.Random, *arguments: str) -> None:
    """The command, killed ten times at random moments, and then to its end."""
    for _ in range(KILLS):
        process = lab.start(*arguments, "--yes")
        try:
            process.wait(timeout=chance.uniform(1, 12))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    lab.bmk(*arguments, "--yes")


@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("host", ["worker-1", "cp-1"])
def test_a_host_is_out_of_service_and_back(lab: Lab, host: str, seed: int) -> None:
    """Killed at ten points each way: off, left alone by everybody who says so, and back as it was."""
    chance, before = random.Random(seed), installations(lab.journal)
    on = ("maintenance", host, "on", "--reason", "fans")
    assert "cordon and drain its node" in lab.bmk(*on, "--plan", code=2)
    killed(lab, chance, *on)
    assert power(lab, host) == "off"
    assert "SchedulingDisabled" in asked(lab, host)
    assert f"bmk maintenance {lab.dc} {host} off" in lab.bmk("status", "-o", "wide")
    assert "left alone" in lab.bmk("plan")
    lab.bmk("provision", "--yes")
    assert {s["state"] for s in lab.drift(0).values()} == {"clean", "alone"}
    assert "left alone" in lab.bmk("verify")
    killed(lab, chance, "maintenance", host, "off")
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
