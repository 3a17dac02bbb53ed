"""Seals: nobody but the deployer makes one, and no host changes what counts."""

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


def seal(digest: str = "d1", **more: Any) -> Baseline:
    return Baseline("one", 1.0, digest, **more)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path)


def test_a_seal_comes_back_as_it_was(journal: Journal) -> None:
    """What was stored is what is read, and older ones stay as history."""
    store(journal, seal("d1"))
    store(journal, seal("d2", facts={"kernel": {"release": {"value": "6.12"}}}))
    found = newest(journal, "one")
    assert found is not None
    assert (found.digest, found.facts["kernel"]["release"]["value"]) == ("d2", "6.12")
    assert [digest for _, digest in history(journal, "one")] == ["d2", "d1"]
    assert newest(journal, "other") is None


def test_the_key_is_private(journal: Journal) -> None:
    """Who can read the key can sign: nobody but the owner."""
    store(journal, seal())
    assert (journal.state / "seal.key").stat().st_mode & 0o077 == 0


def test_a_forged_seal_is_refused(journal: Journal) -> None:
    """A seal whose body was exchanged is not believed, and the error says what to type."""
    store(journal, seal("d1"))
    store(journal, seal("d2"))
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET body = (SELECT body FROM baselines WHERE digest = 'd1') WHERE digest = 'd2'")
    with pytest.raises(PreflightRefused, match="not signed here"):
        newest(journal, "one")


def test_a_seal_of_another_host_is_refused(journal: Journal) -> None:
    """A row that was given another host's name is not believed: one host's record cannot excuse another."""
    store(journal, seal("d1"))
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET host = 'two'")
    with pytest.raises(PreflightRefused, match="not signed here for this host"):
        newest(journal, "two")


def test_a_journal_that_was_put_back_is_seen(journal: Journal) -> None:
    """Without its newest seal, or without any, a host's older record does not count; the next one does again."""
    store(journal, seal("d1"))
    store(journal, seal("d2"))
    with journal.transaction() as db:
        db.execute("DELETE FROM baselines WHERE digest = 'd2'")
    with pytest.raises(PreflightRefused, match="number 1, number 2 was made"):
        newest(journal, "one")
    with journal.transaction() as db:
        db.execute("DELETE FROM baselines")
    with pytest.raises(PreflightRefused, match="number 0, number 2 was made"):
        newest(journal, "one")
    store(journal, seal("d3"))
    found = newest(journal, "one")
    assert found is not None
    assert found.digest == "d3"


def test_a_renumbered_seal_is_refused(journal: Journal) -> None:
    """An older row cannot be made the newest by giving it a higher number."""
    store(journal, seal("d1"))
    store(journal, seal("d2"))
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET counter = 3 WHERE digest = 'd1'")
    with pytest.raises(PreflightRefused, match="not signed here"):
        newest(journal, "one")


def test_a_kill_before_the_counter_loses_nothing(journal: Journal) -> None:
    """A seal whose number did not get to disk counts; numbers go on from it."""
    store(journal, seal("d1"))
    counters = journal.state / "seal.counters"
    before = counters.read_text()
    store(journal, seal("d2"))
    counters.write_text(before)
    found = newest(journal, "one")
    assert found is not None
    assert found.digest == "d2"
    store(journal, seal("d3"))
    assert '"one": 3' in counters.read_text()


def test_broken_counters_are_said(journal: Journal) -> None:
    """Numbers that cannot be read are no permission to believe any seal."""
    store(journal, seal("d1"))
    (journal.state / "seal.counters").write_text("[1]")
    with pytest.raises(PreflightRefused, match="cannot be read"):
        newest(journal, "one")


def test_a_seal_of_less_does_not_count_as_sealed(journal: Journal) -> None:
    """What an older bmk sealed is read, and the host is due to be sealed again."""
    store(journal, seal("d1", schema=1))
    assert signed_at(journal) == {}
    store(journal, seal("d1"))
    assert signed_at(journal) == {"one": 1.0}


def test_a_host_with_a_seal_of_less_is_unknown(tmp_path: Path) -> None:
    """Nothing that the old seal does not know is called drift, nothing is called clean; and a provision is due."""
    dc = load_datacenter(Path(__file__).resolve().parents[3] / "inventories/lab-ha/dc.yml")
    host = next(iter(dc.hosts.values()))
    journal = Journal.open(tmp_path)
    store(journal, Baseline(host.name, 1.0, "d", schema=1))
    on = Scan(dc, journal, Keys(tmp_path / "key", tmp_path / "known_hosts"))
    (standing,) = asyncio.run(scan(on, [host], Outside()))
    (trouble,) = standing.troubles
    assert (standing.state, trouble.cause, trouble.next) == ("unknown", "old-seal", f"bmk provision {dc.name}")


def test_history_is_bounded(journal: Journal) -> None:
    """A host that converges every night does not fill the disk."""
    for number in range(30):
        store(journal, seal(str(number)))
    assert len(history(journal, "one")) == 20


def test_a_host_cannot_rewrite_its_record() -> None:
    """The same input with other items is a forged record: the old one counts, and the section is named."""
    old, new = seal(sections={"kubelet.files": section("good")}), seal(sections={"kubelet.files": section("evil")})
    kept, forged = renewed(old, new, [])
    assert forged == ["kubelet.files"]
    assert kept.sections["kubelet.files"] == section("good")


def test_a_new_input_brings_new_items() -> None:
    """Roles that changed want something else: that is no forgery."""
    new = seal("d2", sections={"kubelet.files": section("newer", "i2")})
    kept, forged = renewed(seal(sections={"kubelet.files": section("older")}), new, [])
    assert (forged, kept.sections) == ([], new.sections)


def test_a_converge_never_blesses_what_was_found() -> None:
    """An extra key that drift had named stays a difference although roles changed meanwhile."""
    old = seal("d1", facts={"authorized_keys": {"root a": {}}})
    new = seal("d2", facts={"authorized_keys": {"root a": {}, "root evil": {}}})
    kept, _ = renewed(old, new, ["authorized_keys:root evil"])
    assert kept.facts["authorized_keys"] == {"root a": {}}
    kept, _ = renewed(old, new, [])
    assert set(kept.facts["authorized_keys"]) == {"root a", "root evil"}


@given(
    st.dictionaries(st.sampled_from("abc"), st.just({"v": 1})),
    st.dictionaries(st.sampled_from("abc"), st.just({"v": 2})),
)
def test_the_same_wish_keeps_what_was_sealed(before: dict[str, Any], now: dict[str, Any]) -> None:
    """With an unchanged digest a repair brings nothing new: whoever came meanwhile is not let in."""
    kept, _ = renewed(seal(facts={"users": before}), seal(facts={"users": now}), [])
    assert kept.facts["users"] == before


def test_the_manifest_is_sealed_anew_unless_it_was_forged() -> None:
    """Each converge writes it, so its bytes move; when a section in it is forged, the old bytes count."""

    def signed_at(sha: str, items: str) -> Baseline:
        files = {"files": {MANIFEST_PATH: {"type": "file", "sha256": sha}}}
        return seal(sections={"kubelet.files": section(items)}, facts=files)

    kept, _ = renewed(signed_at("old", "good"), signed_at("new", "good"), [f"files:{MANIFEST_PATH}"])
    assert kept.facts["files"][MANIFEST_PATH]["sha256"] == "new"
    kept, _ = renewed(signed_at("old", "good"), signed_at("new", "evil"), [])
    assert kept.facts["files"][MANIFEST_PATH]["sha256"] == "old"
