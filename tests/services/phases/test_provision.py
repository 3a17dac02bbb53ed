"""`bmk provision` as a process, against BMCs that do not answer: locks, signals, refusals and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.datacenter.source import newest_version
from bmk.datacenter.write import write_addresses
from bmk.engine.lock import holder
from bmk.journal import Journal
from bmk.paths import cache_dir
from bmk.plan.guards import RECORD

pytestmark = pytest.mark.services

DC = """
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: silent}
spec:
  deployer: {address: 10.66.0.1}
  networks:
    nodes: {cidr: 10.66.0.0/24}
    bmc: {cidr: 10.67.0.0/24}
  profiles:
    any: {bmc: {kind: redfish, secret: bmc/silent, port: 9}}
  racks:
    r1:
      hosts:
        - {name: n1, profile: any, serial: S1, nics: [{mac: "52:54:00:66:00:01"}], address: 10.66.0.11,
           bmc: {address: 10.67.0.11}, disk: {serial: D1}}
"""
INSTALLED = {"image_sha256": "f" * 64}


@dataclass
class Place:
    """A data center whose only host is installed (so that no image is needed) and whose BMC is a closed port."""

    path: Path

    @property
    def journal(self) -> Journal:
        return Journal.open(self.path / "state" / "silent")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        login = {"BMK_SECRET_BMC_SILENT_USERNAME": "u", "BMK_SECRET_BMC_SILENT_PASSWORD": "canary-password"}
        places = {"BMK_STATE_DIR": str(self.path / "state"), "BMK_CACHE_DIR": str(self.path / "cache")}
        env = {**os.environ, **login, **places, "NO_COLOR": "1"}
        verb, *rest = arguments
        alone = 'ip link set lo up; ip address add 10.67.0.11/32 dev lo; exec "$@"'  # a network of its own, same PID
        network = ["unshare", "--net", "--map-root-user", "sh", "-ec", alone, "sh"]
        command = [*network, sys.executable, "-m", "bmk", verb, str(self.path / "dc.yml"), *rest]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    load_mirror()
    for part in ("mirror", "registry"):  # the same content with a lock of its own: a build elsewhere is no concern here
        (tmp_path / "cache").mkdir(exist_ok=True)
        (tmp_path / "cache" / part).symlink_to(cache_dir() / part)
    (tmp_path / "dc.yml").write_text(DC)
    place = Place(tmp_path)
    place.journal.record("n1", "installed", INSTALLED)
    return place


@pytest.fixture
def running(place: Place) -> Iterator[subprocess.Popen[str]]:
    """A provision that has begun to wait for the BMC."""
    process = place.start("provision", "--yes", "--events", "-")
    journal, end = place.journal, time.monotonic() + 120
    while not journal.since(kind="phase.started"):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "the run did not begin"
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_so_and_leaves_the_lock(
    place: Place, running: subprocess.Popen[str], number: signal.Signals
) -> None:
    """Ctrl-C ends a run soon with exit 130; the journal knows, the lock is free, and no traceback is shown."""
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert place.journal.query("SELECT exit FROM runs") == [(130,)]
    assert holder(place.journal) is None
    assert json.loads(out.splitlines()[0])["type"] == "version"


def test_second_run_exits_7_and_names_the_first(place: Place, running: subprocess.Popen[str]) -> None:
    """Two runs of one data center never overlap."""
    second = place.start("provision", "--yes")
    _, err = second.communicate(timeout=180)
    assert second.returncode == 7
    assert f"pid {running.pid}" in err


CLUSTER = """
        - {{name: c1, profile: any, serial: S2, nics: [{{mac: "52:54:00:66:00:02"}}], address: 10.66.0.12,
           bmc: {{address: 10.67.0.12}}, disk: {{serial: D2}}}}
  clusters:
    apps:
      kubernetes: {{version: {version}}}
      control_plane: {{hosts: [c1]}}
      network: {{plugin: none, pods: 10.88.0.0/16, services: 10.99.0.0/16}}
"""


@pytest.fixture
def older(place: Place) -> Place:
    """With a cluster that was made with another version than the file says."""
    spares = DC.replace("nodes: {cidr: 10.66.0.0/24}", "nodes: {cidr: 10.66.0.0/24, dns: [10.66.0.1]}").rstrip()
    (place.path / "dc.yml").write_text(spares + CLUSTER.format(version=newest_version()))
    write_addresses(place.path)
    place.journal.record("c1", "joined", {"cluster": "apps", "at": 1.0})
    place.journal.record("apps", RECORD, {"kubernetes.version": "1.30.1", "network.pods": "10.88.0.0/16"})
    return place


def test_a_plan_shows_what_a_running_cluster_cannot_become(older: Place) -> None:
    """Exit 6 with both versions and the line of the file; hosts of others are planned, those of the cluster are not."""
    out, err = (process := older.start("plan", "-o", "json")).communicate(timeout=180)
    assert process.returncode == 6, err
    shown = json.loads(out)
    assert [host["host"] for host in shown["hosts"]] == ["n1"]
    assert [(r["cluster"], r["field"], r["made_with"]) for r in shown["refused"]] == [
        ("apps", "kubernetes.version", "1.30.1")
    ]
    line = next(
        n for n, text in enumerate((older.path / "dc.yml").read_text().splitlines(), 1) if "kubernetes:" in text
    )
    assert f"dc.yml:{line}:" in err
    assert "next: bmk upgrade silent apps --plan" in err


def test_provision_leaves_a_cluster_alone_that_cannot_be_changed(older: Place) -> None:
    """With no other host at hand nothing is done at all: exit 6, and no phase began."""
    _, err = (process := older.start("provision", "--yes", "--limit", "apps")).communicate(timeout=180)
    assert process.returncode == 6, err
    assert "its hosts are left alone: apps" in err
    assert older.journal.since(kind="phase.started") == []


def test_without_terminal_and_yes_it_declines(place: Place) -> None:
    """Exit 8 at once; nothing was begun."""
    process = place.start("provision")
    _, err = process.communicate(timeout=180)
    assert process.returncode == 8
    assert "bmk provision" in err
    assert place.journal.since(kind="phase.started") == []


def test_plan_shows_what_could_not_be_asked_and_exits_2(place: Place) -> None:
    """A silent BMC is told in the plan, and its password nowhere."""
    process = place.start("plan", "-o", "json", "--out", str(place.path / "plan.json"))
    out, err = process.communicate(timeout=180)
    assert process.returncode == 2, err
    assert json.loads(out)["hosts"][0]["host"] == "n1"
    assert "canary-password" not in out + err + (place.path / "plan.json").read_text()


def test_plan_file_of_other_facts_is_refused(place: Place) -> None:
    """What was reviewed is what runs: when facts changed since, exit 6 names the host."""
    first = place.start("plan", "--out", str(place.path / "plan.json"))
    first.communicate(timeout=180)
    place.journal.record("n1", "identity", {"serial": "S1"})
    process = place.start("provision", "--yes", "--plan", str(place.path / "plan.json"))
    _, err = process.communicate(timeout=180)
    assert process.returncode == 6
    assert "facts changed since this plan was made: n1" in err
