"""Machines of lab-ha that are replaced: another serial and another disk in the case, and in dc.yml."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.journal.installation import installations
from tests.lab import Lab, own_file, ready, running

pytestmark = pytest.mark.containers
SEED = int(os.environ.get("BMK_KILLS_SEED") or time.time_ns())
KILLS = 10
NUMBERS = {"cp-1": 1, "worker-1": 4}  # of the machines in the file


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """lab-ha with a file of its own, from powered off to Ready."""
    place = tmp_path_factory.mktemp("replaced")
    with running("lab-ha", str(own_file(place)), place, own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        yield lab


def is_down(lab: Lab, host: str) -> bool:
    """Whether the API calls its node not Ready, asked on another control plane; False while etcd elects its leader."""
    other = "cp-2" if host == "cp-1" else "cp-1"
    words = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "node", host, "-o", "json")
    text = lab.bmk("ssh", other, "--", *words, code=None)
    return text.startswith("{") and not ready(json.loads(text))


def replace(lab: Lab, host: str) -> None:
    """The machine is gone, another one stands there, switched off; the file names its serial number and its disk."""
    lab.bmk("power off", host, "--yes")
    end = time.monotonic() + 600
    while not is_down(lab, host):  # as long as its node is Ready, bmk asks for a confirmation
        assert time.monotonic() < end
        time.sleep(2)
    lab.bmk("lab break", "wrong-serial", host)
    lab.bmk("lab break", "wrong-disk", host)
    file, number = Path(lab.dc), NUMBERS[host]
    text = file.read_text().replace(f"serial: HA000{number}\n", f"serial: WRONG{number}\n")
    file.write_text(text.replace(f"HADISK000{number}", f"WRONGK000{number}"))


def as_it_was(lab: Lab, host: str, before: dict[str, str]) -> None:
    """Only this host was installed; every node is Ready, nothing is planned, and drift is empty."""
    after = installations(lab.journal)
    assert {h for h in after if after[h] != before[h]} == {host}
    assert all(ready(node) for node in lab.nodes().values())
    lab.bmk("plan")
    assert {s["state"] for s in lab.drift(None).values()} == {"clean"}


@pytest.mark.parametrize("host", ["worker-1", "cp-1"])
def test_a_replaced_machine_is_installed_joined_and_nothing_else_is_disturbed(lab: Lab, host: str) -> None:
    """The plan names everything from the old node to the proof; provision does it."""
    before = installations(lab.journal)
    replace(lab, host)
    plan = lab.bmk("plan", code=2)
    for words in ("delete its node", "wipe", "join cluster lab-ha", "another machine"):
        assert words in plan
    lab.bmk("provision", "--yes", "--confirm", host)  # the other disk holds what the one before held
    as_it_was(lab, host, before)


@pytest.mark.parametrize("seed", [SEED])  # in the name of the test: BMK_KILLS_SEED repeats it
def test_killed_at_ten_points_a_reinstall_is_finished(lab: Lab, seed: int) -> None:
    """kill -9 of the command, ten times at random moments: the same command goes on, and installs once."""
    chance, before = random.Random(seed), installations(lab.journal)
    lab.killed(chance, (1, 25), KILLS, "reinstall", "cp-2", "--yes")
    as_it_was(lab, "cp-2", before)
