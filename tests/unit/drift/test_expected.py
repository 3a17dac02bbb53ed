"""Intended exceptions: matched by pattern and place, and over at their end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.model import Expected
from bmk.datacenter.problems import InvalidDataCenter
from bmk.drift.classify import classify
from bmk.drift.expected import mark_expected
from bmk.drift.model import Desired, Difference, DriftStatus, Trouble

FINDING = classify("par", "r1-01", Difference("sysctls", "vm.swappiness", "value", "1", "60"), Desired(), {})
ENTRY = Expected(items=("sysctls:vm.*",), hosts=("r1",), reason="load test of team x", until=date(2026, 12, 31))
ROOT = Path(__file__).resolve().parents[3]


def test_what_is_expected_is_named_and_not_counted() -> None:
    """Within its time, on its hosts."""
    finding = mark_expected(FINDING, (ENTRY,), {"r1-01", "r1"}, date(2026, 12, 31))
    assert finding.expected == "load test of team x (until 2026-12-31)"
    assert DriftStatus("r1-01", (finding,)).state == "clean"
    assert mark_expected(FINDING, (ENTRY,), {"r2-01", "r2"}, date(2026, 12, 1)).expected == ""


def test_an_exception_that_is_over_is_drift_and_says_so() -> None:
    """The day after its end it counts again."""
    finding = mark_expected(FINDING, (ENTRY,), {"r1"}, date(2027, 1, 1))
    assert finding.expected == ""
    assert "which is over" in finding.note
    assert DriftStatus("r1-01", (finding,)).state == "degraded"


def test_every_host_when_none_is_named() -> None:
    """No names: everywhere."""
    entry = replace_hosts(ENTRY)
    assert mark_expected(FINDING, (entry,), {"anything"}, date(2026, 1, 1)).expected


def replace_hosts(entry: Expected) -> Expected:
    return entry.model_copy(update={"hosts": ()})


@pytest.mark.parametrize(
    ("entry", "place", "said"),
    [
        ("{items: ['files:/x'], hosts: [cp-9], reason: because of x, until: 2026-12-31}", ":", "no host"),
        ("{items: ['nonsense'], reason: because of x, until: 2026-12-31}", ":", "kind:id"),
        ("{items: ['files:/x'], reason: because of x, until: soon}", ":", "date"),
        ("{items: ['files:/x'], until: 2026-12-31}", ":", "reason"),
    ],
)
def test_a_wrong_entry_is_named_with_its_place(tmp_path: Path, entry: str, place: str, said: str) -> None:
    """file:line:column, and what is expected there."""
    source = ROOT / "inventories/lab-ha"
    text = (source / "dc.yml").read_text().rstrip("\n") + f"\n  expected:\n    - {entry}\n"
    (tmp_path / "dc.yml").write_text(text)
    (tmp_path / "addresses.yml").write_text((source / "addresses.yml").read_text())
    with pytest.raises(InvalidDataCenter) as error:
        load_datacenter(tmp_path / "dc.yml")
    line = len(text.splitlines())
    assert f"dc.yml:{line}{place}" in str(error.value)
    assert said in str(error.value)


def test_standings_are_unknown_before_anything_else() -> None:
    """A host with a trouble is unknown, whatever else was found on it."""
    assert DriftStatus("x", (replace(FINDING, severity="breaking"),), (Trouble("hangs", "h"),)).state == "unknown"
