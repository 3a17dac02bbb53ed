"""What the page is made of, from the journal alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmk.datacenter.backup_spec import BackupSpec, BackupTargetSpec
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.hardening.assess import ControlResult, HardeningReport, summaries
from bmk.journal import Event, Journal
from bmk.journal.diagnosis import diagnose
from bmk.journal.host_status import WAY, project, statuses
from bmk.journal.records import BackupRecord, CertificatesRecord, KeyRotationOrder, ProvenBackup
from bmk.journal.rotation_causes import BEGUN
from bmk.report.site import collect
from bmk.report.upkeep import rotation_lines

FILE = Path(__file__).resolve().parents[3] / "inventories/lab-ha/dc.yml"


@pytest.fixture
def dc() -> DataCenter:
    return load_datacenter(FILE)


def result(where: str, control: str, state: str) -> ControlResult:
    return ControlResult(control, where, state, "seen", "high", f"what {control} is")  # type: ignore[arg-type] # any word


def test_hardening_is_what_each_host_was_last_seen_with(dc: DataCenter, tmp_path: Path) -> None:
    """Looks at a few hosts renew those only; a host that is not in the file any more does not count."""
    journal, at = Journal.open(tmp_path), "2026-11-27T0{}:00:00+00:00"
    assert collect(dc, journal, project(journal, dc.name, None))["hardening"] is None
    first = HardeningReport(
        dc.name, at.format(1), tuple(result(w, c, "fail") for w in ("cp-1", "cp-2", "gone") for c in "ab")
    )
    second = HardeningReport(dc.name, at.format(2), (result("cp-1", "a", "pass"), result("cp-1", "b", "fail")))
    for report in (first, second):
        for where, summary in summaries(report).items():
            journal.record(where, "hardening", summary)
    found = collect(dc, journal, project(journal, dc.name, None))["hardening"]
    assert found["at"] == "2026-11-27T01:00:00Z"
    assert (found["counts"]["fail"], found["counts"]["pass"]) == (3, 1)
    assert [(f["control"], f["where"]) for f in found["failing"]] == [("b", ["cp-1", "cp-2"]), ("a", ["cp-2"])]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cp-1", "worker-1", None]),
            st.sampled_from([*WAY, "drift.scanned", "task.failed", "image.progress"]),
            st.sampled_from(["bmk", "agent", "console", "lab"]),
            st.sampled_from(["r1", "r2", None]),
            st.sampled_from(["powered", "booting", "imaging", "joined", "ready"]),
        ),
        max_size=60,
    ),
    st.sampled_from(["r1", None]),
)
def test_status_why_and_the_page_agree(rows: list[tuple[Any, ...]], live_run: str | None) -> None:
    """They show one projection of the journal: state, phase, and cause of a host are the same in each."""
    with TemporaryDirectory() as directory:
        dc, journal = load_datacenter(FILE), Journal.open(Path(directory) / Path(directory).name)
        journal.extend(
            Event(source, kind, f"event {n}", host, phase, run, at=float(n + 1), data={"what": "it broke"})
            for n, (host, kind, source, run, phase) in enumerate(rows)
        )
        seen = project(journal, "lab-ha", live_run)
        page = {h["name"]: h for h in collect(dc, journal, seen)["hosts"]}
        for shown in statuses(journal, list(dc.hosts), seen):
            why = diagnose(journal, shown.host, seen)
            on_page = page[shown.host]
            assert (shown.state, shown.phase, shown.since) == (why.at.state, why.at.phase, why.at.since)
            assert (on_page["where"], on_page["phase"]) == (shown.state, shown.phase or shown.state)
            cause = None if why.cause is None else why.cause.what
            assert (on_page["cause"] or {}).get("what") == cause
        journal.close()


def test_backups_certificates_and_rotations_are_on_the_page(dc: DataCenter, tmp_path: Path) -> None:
    """As the journal has them: without any, old ones, and what failed with its next command."""
    journal = Journal.open(tmp_path)
    seen = project(journal, dc.name, None)
    first = collect(dc, journal, seen)["upkeep"]
    assert (first["certificates"], first["rotations"], first["causes"]) == (None, [], [])
    soonest = (("cp-1", "apiserver", 1_800_000_000.0),)
    CertificatesRecord(at=seen.now, soonest=soonest, counts={"ok": 3, "due": 1}).save(journal, dc.name)
    KeyRotationOrder(at=seen.now - 300, key="key2", texts=("x",)).save(journal, "lab-ha")
    KeyRotationOrder(at=seen.now, key="key2").save(journal, "gone")
    journal.append(Event("bmk", BEGUN, "it goes on", "lab-ha", "key_added"))
    found = collect(dc, journal, project(journal, dc.name, None))["upkeep"]
    assert found["certificates"]["soonest"] == [{"where": "cp-1", "kind": "apiserver", "ends": "2027-01-15 08:00"}]
    assert found["certificates"]["wrong"] == 1
    (line,) = found["rotations"]
    assert "to key2 is under way, begun 5 min ago" in line
    assert rotation_lines({"apps": KeyRotationOrder(at=seen.now)}, "par", seen.now)[0].startswith(
        "encryption key of apps: a rotation is under way"
    )
    (cause,) = found["causes"]
    assert cause["next"] == "bmk certs rotate-encryption-key lab-ha lab-ha"


@pytest.mark.parametrize(("ago", "state", "age"), [(3600, "ready", "60 min"), (4 * 86400, "failed", "4 d")])
def test_an_old_backup_is_not_as_it_should_be(dc: DataCenter, tmp_path: Path, ago: float, state: str, age: str) -> None:
    """The same age as that of the alert; none at all is never better."""
    target = BackupTargetSpec(directory={"path": str(tmp_path)})
    spec = dc.spec.model_copy(update={"backup": BackupSpec.model_construct(recipients=(), target=target)})
    wanting, journal = replace(dc, spec=spec), Journal.open(tmp_path)
    (none,) = collect(wanting, journal, project(journal, dc.name, None))["upkeep"]["backups"]
    assert (none["state"], none["age"], none["kept"]) == ("failed", "never", 0)
    seen = project(journal, dc.name, None)
    one = ProvenBackup(name="x", at=seen.now - ago, sha256="0", size=1, revision=7, keys=1, cluster_id="1")
    BackupRecord(kept=(one,)).save(journal, "lab-ha")
    (found,) = collect(wanting, journal, seen)["upkeep"]["backups"]
    assert (found["state"], found["age"], found["revision"]) == (state, age, 7)
