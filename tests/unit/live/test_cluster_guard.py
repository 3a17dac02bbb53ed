"""Clusters that exist, and a file that says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.errors import Exit, Unreachable
from bmk.journal import Journal
from bmk.live.cluster_guard import refusal, refused
from bmk.plan.guards import RECORD, made_with

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "inventories" / "lab-ha" / "dc.yml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dc.yml"
    path.write_text(SOURCE.read_text())
    (tmp_path / "addresses.yml").write_text(SOURCE.with_name("addresses.yml").read_text())
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Of a cluster with two members."""
    journal = Journal.open(tmp_path)
    for host in ("cp-1", "worker-1"):
        journal.record(host, "joined", {"cluster": "lab-ha", "at": 1.0})
    return journal


def other_version(file: Path) -> DataCenter:
    """The same file with another version of Kubernetes."""
    dc = load_datacenter(file)
    version = dc.cluster("lab-ha").kubernetes.version
    file.write_text(file.read_text().replace(f"version: {version}", "version: 1.34.1"))
    return load_datacenter(file, versions=set())


class Asked:
    """Services of which only the API is asked, and how often it was."""

    def __init__(self, answer: Mapping[str, str] | None) -> None:
        self.answer, self.times = answer, 0

    def cluster(self, name: str) -> Any:
        self.times += 1
        return self

    def made_with(self) -> Mapping[str, str]:
        if self.answer is None:
            raise Unreachable("the Kubernetes API does not answer")
        return self.answer


def test_a_change_of_version_is_refused_with_its_place(file: Path, journal: Journal) -> None:
    """Both versions, the line of the file, the reason, a next command that exists, and exit code 6."""
    journal.record("lab-ha", RECORD, made_with(load_datacenter(file), "lab-ha"))
    before = load_datacenter(file).cluster("lab-ha").kubernetes.version
    dc = other_version(file)
    found = refused(dc, journal, cast(Any, Asked(None)), dc.hosts.values())
    error = refusal(dc, found)
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "1.34.1" in text)
    assert error.exit_code == Exit.REFUSED
    assert f"{file}:{line}:" in error.why
    assert f"has kubernetes.version {before}, dc.yml says 1.34.1" in error.why
    assert error.hint == "bmk upgrade lab-ha lab-ha --plan"


def test_a_cluster_of_an_older_journal_is_asked_once(file: Path, journal: Journal) -> None:
    """What its API says is recorded; the file is compared with that, and never taken for it."""
    services = Asked({"kubernetes.version": load_datacenter(file).cluster("lab-ha").kubernetes.version})
    dc = other_version(file)
    for _ in range(2):
        assert [r.field for r in refused(dc, journal, cast(Any, services), dc.hosts.values())] == ["kubernetes.version"]
    assert services.times == 1


def test_an_api_that_does_not_answer_refuses_nothing(file: Path, journal: Journal) -> None:
    """Nothing is known then, nothing is written down, and the next run asks again."""
    dc = other_version(file)
    services = Asked(None)
    assert refused(dc, journal, cast(Any, services), dc.hosts.values()) == []
    assert journal.records(RECORD) == {}


def test_only_clusters_of_the_hosts_at_hand_are_looked_at(file: Path, journal: Journal) -> None:
    """Hosts of other clusters, and spares, are not kept from anything."""
    journal.record("lab-ha", RECORD, made_with(load_datacenter(file), "lab-ha"))
    dc = other_version(file)
    spare = replace(dc.hosts["worker-2"], cluster=None, role="spare")
    assert refused(dc, journal, cast(Any, Asked(None)), [spare]) == []


def test_a_cluster_that_begins_anew_may_be_made_otherwise(file: Path, journal: Journal) -> None:
    """All of its members are to be installed again: nothing of it stays."""
    journal.record("lab-ha", RECORD, made_with(load_datacenter(file), "lab-ha"))
    for host in ("cp-1", "worker-1"):
        journal.record(host, "reinstall", {"at": 2.0})
    dc = other_version(file)
    assert refused(dc, journal, cast(Any, Asked(None)), dc.hosts.values()) == []


def test_a_run_writes_down_what_it_made_a_cluster_with(simulation: Any) -> None:
    """Before kubeadm runs; what a later file says is compared with it."""
    simulation.provision()
    assert simulation.service.records(RECORD) == {"lab-ha": made_with(simulation.dc, "lab-ha")}
