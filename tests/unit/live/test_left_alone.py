"""Hosts that a person wants to be left alone, as looks at a data center take them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bmk.cli.verify import _unasked
from bmk.datacenter.load import load_datacenter
from bmk.drift import history
from bmk.journal import Journal
from bmk.journal.left_alone import left_alone
from bmk.journal.records import MaintenanceRecord, ReinstallOrder, ResetOrder, RetiredRecord
from bmk.live.drift_service import DriftRequest, find_drift
from bmk.live.key_rotation import Rotation, installed_hosts
from bmk.report import verify
from tests.simulation import ROOT


def test_nobody_asks_them_and_nothing_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift names them with the way back, in the order of the file; how they stood before is how they stand."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path))
    ha = load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")
    assert ha.state.is_relative_to(tmp_path)
    journal = Journal.open(ha.state)
    for name in ("worker-1", "cp-1"):
        MaintenanceRecord(at=time.time(), by="me@here", reason="fans").save(journal, name)
    hosts = [ha.hosts[name] for name in ("worker-1", "cp-1")]
    found = find_drift(ha, journal, hosts, DriftRequest("r1"))
    assert [(s.name, s.state) for s in found] == [("worker-1", "alone"), ("cp-1", "alone")]
    assert "bmk maintenance lab-ha worker-1 off" in found[0].alone
    assert history.standings(journal) == {}
    assert journal.since(kind="drift.scanned") == []


def test_verify_shows_them_and_does_not_call_them_failed(tmp_path: Path) -> None:
    """One skipped result each, in the table that people read."""
    journal = Journal.open(tmp_path)
    RetiredRecord(at=0.0, by="me@here", reason="old", cluster="one", done=True).save(journal, "worker-1")
    results = _unasked(left_alone(journal, "par"))
    assert [r.outcome for r in results] == ["skipped"]
    assert "removed from cluster one since 1970-01-01 00:00 UTC, by me@here: old" in "".join(
        verify.table("par", results, wide=False)
    )


def test_each_kind_names_the_way_on(tmp_path: Path) -> None:
    """What is under way goes on by its command; what is over needs the file or an installation, and that ends it."""
    journal = Journal.open(tmp_path)
    RetiredRecord(cluster="one").save(journal, "going")
    RetiredRecord(cluster="one", done=True).save(journal, "gone")
    ResetOrder(cluster="one", by="me").save(journal, "ending")
    ways = {name: why.next for name, why in left_alone(journal, "par").items()}
    assert ways == {
        "going": "bmk remove par going",
        "gone": "take gone out of dc.yml, or: bmk reinstall par gone",
        "ending": "bmk reset par one",
    }
    ReinstallOrder().save(journal, "gone")
    assert "gone" not in left_alone(journal, "par")


def test_a_removed_host_does_not_hold_up_another_key(ha: Any, tmp_path: Path) -> None:
    """It is installed again with the new one, or never used."""
    journal = Journal.open(tmp_path)
    for name in ("cp-1", "worker-1"):
        journal.record(name, "host_keys", ["ssh-ed25519 x"])
    RetiredRecord(done=True).save(journal, "worker-1")
    rotation = Rotation(ha, journal, tmp_path, print)
    assert [host.name for host in installed_hosts(rotation, ())] == ["cp-1"]
