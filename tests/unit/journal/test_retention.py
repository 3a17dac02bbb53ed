"""The state of a data center does not grow for ever, and never forgets what explains a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.journal import Event, Journal
from bmk.journal.retention import NEWEST, figures, prune

DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path)


def _events(journal: Journal, host: str | None, count: int, at: float) -> None:
    journal.extend(Event("bmk", "x.y", str(number), host=host, at=at) for number in range(count))


def test_old_events_go_and_new_ones_stay(journal: Journal) -> None:
    """What is older than the setting goes, in as many batches as it takes; what is younger stays whole."""
    _events(journal, "one", 12_000, NOW - 50 * DAY)
    _events(journal, "one", NEWEST, NOW - DAY)
    prune(journal, 30, NOW)
    assert (figures(journal).events, figures(journal).oldest) == (NEWEST, NOW - DAY)


@pytest.mark.parametrize("host", ["quiet", None])
def test_the_newest_of_each_host_stay_however_old(journal: Journal, host: str | None) -> None:
    """A host that was installed years ago still says where it is and why; so do events of no host."""
    _events(journal, host, NEWEST + 7, NOW - 900 * DAY)
    prune(journal, 30, NOW)
    left = journal.since()
    assert [e.text for e in left] == [str(n) for n in range(7, NEWEST + 7)]


def test_run_directories_go_with_their_events(journal: Journal) -> None:
    """Directories of old runs are removed; young ones, and what is no run's, are left alone."""
    runs = journal.state / "runs"
    for name in ("20200101-000000-0a1b2c3d", "20270110-000000-0a1b2c3d", "notes", "20200101-000000-0a1b2c3d.txt"):
        (runs / name / "x").mkdir(parents=True)
    assert figures(journal).runs == 2
    prune(journal, 30, NOW)
    assert sorted(p.name for p in runs.iterdir()) == [
        "20200101-000000-0a1b2c3d.txt",
        "20270110-000000-0a1b2c3d",
        "notes",
    ]


def test_a_run_that_has_not_ended_is_kept(journal: Journal) -> None:
    """Only what ended is history."""
    with journal.transaction() as db:
        db.execute("INSERT INTO runs VALUES ('a', 'provision', 1.0, NULL, NULL, 'x', '{}')")
        db.execute("INSERT INTO runs VALUES ('b', 'provision', 1.0, 2.0, 0, 'x', '{}')")
    prune(journal, 30, NOW)
    assert journal.query("SELECT id FROM runs") == [("a",)]
