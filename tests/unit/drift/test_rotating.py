"""While the encryption key is rotated, drift knows which files are right; afterwards it compares with the last one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.drift.baseline import Baseline, store
from bmk.drift.collector import Keys
from bmk.drift.model import Answer, Finding
from bmk.drift.scan import Outside, Scan, scan
from bmk.hardening.apiserver import ENCRYPTION
from bmk.journal import Journal
from bmk.journal.records import KeyRotationOrder
from bmk.live.encryption_service import ControlPlanes, accept
from tests.simulation import ROOT

OLD, ADDED, FOREIGN = "a" * 64, "b" * 64, "c" * 64
FILE = {"type": "file", "mode": "0640", "owner": "root", "group": "kube-apiserver"}


@pytest.fixture
def on(tmp_path: Path) -> Scan:
    dc = load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")
    journal = Journal.open(tmp_path)
    store(journal, Baseline("cp-1", 1.0, "d", facts={"files": {ENCRYPTION: {**FILE, "sha256": OLD}}}))
    return Scan(dc, journal, Keys(tmp_path, tmp_path))


def found(on: Scan, monkeypatch: pytest.MonkeyPatch, sha256: str, **more: str) -> list[Finding]:
    """What a scan says of the file when it is so on the host."""

    async def collect(*_: Any) -> AsyncIterator[Answer]:
        yield Answer("cp-1", {"files": {ENCRYPTION: {**FILE, "sha256": sha256, **more}}})

    monkeypatch.setattr("bmk.drift.scan.collect", collect)
    status, *_ = asyncio.run(scan(on, [on.dc.hosts["cp-1"]], Outside()))
    return [f for f in status.findings if f.difference.id == ENCRYPTION]


def ordered(on: Scan, *texts: str) -> None:
    KeyRotationOrder(key="key2", texts=texts).save(on.journal, "lab-ha")


def test_the_file_of_a_rotation_is_expected_while_it_is_under_way(on: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named and does not count; without a rotation, and of another cluster's, it is what it was."""
    KeyRotationOrder(key="key2", texts=(ADDED,)).save(on.journal, "another")
    assert [(f.severity, f.expected) for f in found(on, monkeypatch, ADDED)] == [("security", "")]
    ordered(on, ADDED)
    (finding,) = found(on, monkeypatch, ADDED)
    assert "key2 is under way" in finding.expected
    assert found(on, monkeypatch, OLD) == []


def test_other_content_is_drift_all_the_same(on: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that somebody else put there, and rights that the rotation never changes."""
    ordered(on, ADDED)
    assert [f.expected for f in found(on, monkeypatch, FOREIGN)] == [""]
    assert [(f.difference.field, f.expected) for f in found(on, monkeypatch, OLD, mode="0644")] == [("mode", "")]


def test_afterwards_the_new_file_is_what_counts(on: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is told twice, as by a run that was killed in between; a host without a baseline gets none."""
    planes = ControlPlanes(on.dc, on.journal, run=lambda *_: pytest.fail("nobody is asked"))
    for _ in range(2):
        accept(planes, on.dc.hosts["cp-1"], ADDED)
    assert found(on, monkeypatch, ADDED) == []
    assert [f.severity for f in found(on, monkeypatch, OLD)] == ["security"]
    accept(planes, on.dc.hosts["cp-2"], ADDED)
    assert on.journal.query("SELECT host FROM baselines WHERE host = 'cp-2'") == []
