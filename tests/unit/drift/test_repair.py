"""What a converge gets for a host with drift: files from its baseline, units to restart, records that do not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.drift import history
from bmk.drift.baseline import Baseline, store, valid
from bmk.drift.classify import KINDS, classify
from bmk.drift.model import Desired, Difference, DriftStatus
from bmk.drift.repair import repair_variables
from bmk.journal import Journal

FILES = {
    "/etc/hosts": {"type": "file", "mode": "0644", "owner": "root", "group": "root", "sha256": "0"},
    "/etc/cron.d": {"type": "directory", "mode": "0755", "owner": "root", "group": "root"},
    "/etc/rc.local": {"type": "link", "target": "/bin/true"},
    "/etc/fstab": {"type": "file", "mode": "0644", "owner": "root", "group": "root", "sha256": "1"},
    "/etc/ld.so.preload": {"type": "absent"},
}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal.open(tmp_path)
    store(journal, Baseline("one", 1.0, "d", facts={"files": FILES}, texts={"/etc/hosts": "a {{ b }}\n"}))
    return journal


def found(journal: Journal, *differences: Difference) -> dict[str, object]:
    """Variables of a converge after a scan with these findings."""
    desired = Desired(texts=dict.fromkeys((*FILES, "/root/.ssh/authorized_keys"), "x"))
    findings = tuple(classify("par", "one", d, desired, {}) for d in differences)
    history.remember(journal, "r", 1.0, 2.0, [DriftStatus("one", findings)])
    return repair_variables(journal, ["one", "two"])


def test_files_are_restored_as_the_baseline_has_them(journal: Journal) -> None:
    """Content and rights, a directory, a link, an absence, an additional file; one whose text is not kept stays."""
    paths = [*FILES, "/etc/cron.d/evil"]
    variables = found(journal, *(Difference("files", path, "mode", "a", "b") for path in paths))
    rights = {"owner": "root", "group": "root"}
    assert variables["bmk_restore"] == {"one": [
        {"path": "/etc/cron.d", "state": "directory", "mode": "0755", **rights},
        {"path": "/etc/hosts", "content": "a {{ b }}\n", "mode": "0644", **rights},
        {"path": "/etc/ld.so.preload", "state": "absent"},
        {"path": "/etc/rc.local", "state": "link", "target": "/bin/true"},
    ]}  # fmt: skip
    assert variables["bmk_distrust"] == ["one"]
    added = found(journal, Difference("files", "/etc/cron.d/evil", "", None, "type file"))
    assert added["bmk_restore"] == {"one": [{"path": "/etc/cron.d/evil", "state": "absent"}]}


def test_a_kind_that_names_a_unit_restarts_it(journal: Journal) -> None:
    """Each such kind, and its unit once, however many of its items differ."""
    kinds = [kind for kind in KINDS.values() if kind.restarts]
    variables = found(journal, *(Difference(kind.name, item, "value", 1, 2) for kind in kinds for item in "ab"))
    assert variables["bmk_restart"] == {"one": sorted(kind.restarts for kind in kinds)}


def test_what_needs_a_human_decision_is_not_repaired(journal: Journal) -> None:
    """A listener changes nothing of the next converge, and the host's records count."""
    variables = found(journal, Difference("listeners", "tcp 4444 nc", "", None, "process nc"))
    assert not any(variables.values())


def test_without_a_valid_baseline_nothing_is_restored(journal: Journal) -> None:
    """A baseline that is not signed here restores no file; the host's records do not count all the same."""
    with journal.transaction() as db:
        db.execute("UPDATE baselines SET signature = 'x'")
    assert valid(journal, "one") is None
    variables = found(journal, Difference("files", "/etc/hosts", "sha256", "a", "b"))
    assert (variables["bmk_restore"], variables["bmk_distrust"]) == ({"one": []}, ["one"])
