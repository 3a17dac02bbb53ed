"""What the page is made of, from the journal alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.hardening.assess import ControlResult, HardeningReport, summaries
from bmk.journal import Journal
from bmk.report.site import collect


@pytest.fixture
def dc() -> DataCenter:
    return load_datacenter(Path(__file__).resolve().parents[3] / "inventories/lab-ha/dc.yml")


def result(where: str, control: str, state: str) -> ControlResult:
    return ControlResult(control, where, state, "seen", "high", f"what {control} is")  # type: ignore[arg-type] # any word


def test_hardening_is_what_each_host_was_last_seen_with(dc: DataCenter, tmp_path: Path) -> None:
    """Looks at a few hosts renew those only; a host that is not in the file any more does not count."""
    journal, at = Journal.open(tmp_path), "2026-11-27T0{}:00:00+00:00"
    assert collect(dc, journal, None)["hardening"] is None
    first = HardeningReport(
        dc.name, at.format(1), tuple(result(w, c, "fail") for w in ("cp-1", "cp-2", "gone") for c in "ab")
    )
    second = HardeningReport(dc.name, at.format(2), (result("cp-1", "a", "pass"), result("cp-1", "b", "fail")))
    for report in (first, second):
        for where, summary in summaries(report).items():
            journal.record(where, "hardening", summary)
    found = collect(dc, journal, None)["hardening"]
    assert found["at"] == "2026-11-27T01:00:00Z"
    assert (found["counts"]["fail"], found["counts"]["pass"]) == (3, 1)
    assert [(f["control"], f["where"]) for f in found["failing"]] == [("b", ["cp-1", "cp-2"]), ("a", ["cp-2"])]
