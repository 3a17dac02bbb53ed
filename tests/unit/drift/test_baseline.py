"""Signed baselines: nobody but the deployer signs one, and no host changes what counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.load import load_datacenter
from bmk.drift.baseline import Baseline, history, newest, renewed, signed_at, store
from bmk.drift.collector import Keys
from bmk.drift.facts.files import MANIFEST_PATH
from bmk.drift.scan import Outside, Scan, scan
from bmk.errors import PreflightRefused
from bmk.journal import Journal


def section(sha: str, inputs: str = "i1") -> dict[str, Any]:
    return {"inputs": inputs, "items": [{"path": "/x", "desired": {"type": "file", "sha256": sha}}]}


def baseline(digest: str = "d1", **more: Any) -> Baseline:
    return Baseline("one", 1.0, digest, **more)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path)


def test_a_baseline_is_read_as_it_was_stored(journal: Journal) -> None:
    """What was stored is what is read, and older ones stay as history."""
    store(journal, baseline("d1"))
    store(journal, baseline("d2", facts={"kernel": {"release": {"value": "6.12"}}}))
    found = newest(journal, "one")
    assert found is not None
    assert (found.digest, found.facts["kernel"]["release"]["value"]) == ("d2", "6.12")
    assert [digest for _, digest in history(journal, "one")] == ["d2", "d1"]
    assert newest(journal, "other") is None


def test_the_key_is_private(journal: Journal) -> None:
    """Who can read the key can sign: nobody but the owner."""
    store(journal, baseline())
    assert (journal.state / "seal.key").stat().st_mode & 0o077 == 0


def test_a_forged_baseline_is_refused(journal: Journal) -> None:
    """A baseline whose body was exchanged does not count, and the error says what to type."""
    store(journal, baseline("d1"))
    store(journal, baseline("d2"))
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET body = (SELECT body FROM baselines WHERE digest = 'd1') WHERE digest = 'd2'")
    with pytest.raises(PreflightRefused, match="not signed here"):
        newest(journal, "one")


def test_a_baseline_of_another_host_is_refused(journal: Journal) -> None:
    """A row that was given another host's name does not count: one host's record cannot excuse another."""
    store(journal, baseline("d1"))
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET host = 'two'")
    with pytest.raises(PreflightRefused, match="not signed here for this host"):
        newest(journal, "two")


def test_an_older_journal_is_detected(journal: Journal) -> None:
    """Without its newest baseline, or without any, a host's older record does not count; the next one does again."""
    store(journal, baseline("d1"))
    store(journal, baseline("d2"))
    with journal.transaction() as db:
        db.execute("DELETE FROM baselines WHERE digest = 'd2'")
    with pytest.raises(PreflightRefused, match="number 1, number 2 was signed"):
        newest(journal, "one")
    with journal.transaction() as db:
        db.execute("DELETE FROM baselines")
    with pytest.raises(PreflightRefused, match="number 0, number 2 was signed"):
        newest(journal, "one")
    store(journal, baseline("d3"))
    found = newest(journal, "one")
    assert found is not None
    assert found.digest == "d3"


def test_a_renumbered_baseline_is_refused(journal: Journal) -> None:
    """An older row cannot be made the newest by giving it a higher number."""
    store(journal, baseline("d1"))
    store(journal, baseline("d2"))
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET counter = 3 WHERE digest = 'd1'")
    with pytest.raises(PreflightRefused, match="not signed here"):
        newest(journal, "one")


def test_a_kill_before_the_counter_loses_nothing(journal: Journal) -> None:
    """A baseline whose number did not get to disk counts; numbers continue after it."""
    store(journal, baseline("d1"))
    counters = journal.state / "seal.counters"
    before = counters.read_text()
    store(journal, baseline("d2"))
    counters.write_text(before)
    found = newest(journal, "one")
    assert found is not None
    assert found.digest == "d2"
    store(journal, baseline("d3"))
    assert '"one": 3' in counters.read_text()


def test_broken_counters_are_an_error(journal: Journal) -> None:
    """While the numbers cannot be read, no baseline counts."""
    store(journal, baseline("d1"))
    (journal.state / "seal.counters").write_text("[1]")
    with pytest.raises(PreflightRefused, match="cannot be read"):
        newest(journal, "one")


def test_a_baseline_of_an_older_schema_is_due(journal: Journal) -> None:
    """One that an older bmk signed is read, and the host is due for a new one."""
    store(journal, baseline("d1", schema=1))
    assert signed_at(journal) == {}
    store(journal, baseline("d1"))
    assert signed_at(journal) == {"one": 1.0}


def test_a_host_with_an_older_baseline_is_unknown(tmp_path: Path) -> None:
    """What the old baseline lacks is neither drift nor clean; a provision is due."""
    dc = load_datacenter(Path(__file__).resolve().parents[3] / "inventories/lab-ha/dc.yml")
    host = next(iter(dc.hosts.values()))
    journal = Journal.open(tmp_path)
    store(journal, Baseline(host.name, 1.0, "d", schema=1))
    on = Scan(dc, journal, Keys(tmp_path / "key", tmp_path / "known_hosts"))
    (status,) = asyncio.run(scan(on, [host], Outside()))
    (trouble,) = status.troubles
    assert (status.state, trouble.cause, trouble.next) == ("unknown", "old-baseline", f"bmk provision {dc.name}")


def test_history_is_bounded(journal: Journal) -> None:
    """A host that converges every night does not fill the disk."""
    for number in range(30):
        store(journal, baseline(str(number)))
    assert len(history(journal, "one")) == 20


def test_a_host_cannot_rewrite_its_record() -> None:
    """The same input with other items is a forged record: the old one counts, and the section is named."""
    old, new = (
        baseline(sections={"kubelet.files": section("good")}),
        baseline(sections={"kubelet.files": section("evil")}),
    )
    kept, forged = renewed(old, new, [])
    assert forged == ["kubelet.files"]
    assert kept.sections["kubelet.files"] == section("good")


def test_a_new_input_brings_new_items() -> None:
    """Roles that changed want something else: that is no forgery."""
    new = baseline("d2", sections={"kubelet.files": section("newer", "i2")})
    kept, forged = renewed(baseline(sections={"kubelet.files": section("older")}), new, [])
    assert (forged, kept.sections) == ([], new.sections)


def test_a_converge_never_approves_what_was_found() -> None:
    """An extra key that drift had named stays a difference although roles changed meanwhile."""
    old = baseline("d1", facts={"authorized_keys": {"root a": {}}})
    new = baseline("d2", facts={"authorized_keys": {"root a": {}, "root evil": {}}})
    kept, _ = renewed(old, new, ["authorized_keys:root evil"])
    assert kept.facts["authorized_keys"] == {"root a": {}}
    kept, _ = renewed(old, new, [])
    assert set(kept.facts["authorized_keys"]) == {"root a", "root evil"}


@given(
    st.dictionaries(st.sampled_from("abc"), st.just({"v": 1})),
    st.dictionaries(st.sampled_from("abc"), st.just({"v": 2})),
)
def test_the_same_digest_keeps_the_baseline(before: dict[str, Any], now: dict[str, Any]) -> None:
    """With an unchanged digest a repair records nothing new: a user who was added meanwhile stays a difference."""
    kept, _ = renewed(baseline(facts={"users": before}), baseline(facts={"users": now}), [])
    assert kept.facts["users"] == before


def test_the_manifest_is_recorded_again_unless_it_was_forged() -> None:
    """Each converge writes it, so its bytes move; when a section in it is forged, the old bytes count."""

    def signed_at(sha: str, items: str) -> Baseline:
        files = {"files": {MANIFEST_PATH: {"type": "file", "sha256": sha}}}
        return baseline(sections={"kubelet.files": section(items)}, facts=files)

    kept, _ = renewed(signed_at("old", "good"), signed_at("new", "good"), [f"files:{MANIFEST_PATH}"])
    assert kept.facts["files"][MANIFEST_PATH]["sha256"] == "new"
    kept, _ = renewed(signed_at("old", "good"), signed_at("new", "evil"), [])
    assert kept.facts["files"][MANIFEST_PATH]["sha256"] == "old"
