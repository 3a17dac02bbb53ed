"""Which backups may go: those beyond count and age, never the newest proven one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bmk.backup.retention import surplus
from bmk.datacenter.backup_spec import BackupRetention
from bmk.journal.records import ProvenBackup

DAY, NOW = 86400.0, 1_000 * 86400.0


def _backup(days: float) -> ProvenBackup:
    at = NOW - days * DAY
    return ProvenBackup(name=f"b{days}", at=at, sha256="0", size=1, revision=1, keys=1, cluster_id="a")


def test_by_count_and_by_age() -> None:
    """Three newest, of these none older than ten days."""
    kept = [_backup(days) for days in (30, 20, 9, 2, 1)]
    gone = surplus(kept, BackupRetention(count=4, days=10), NOW)
    assert [one.name for one in gone] == ["b30", "b20"]
    assert [one.name for one in surplus(kept, BackupRetention(count=2, days=100), NOW)] == ["b30", "b20", "b9"]
    assert surplus(kept, BackupRetention(count=5, days=100), NOW) == []


@given(st.lists(st.floats(0, 1000), max_size=20, unique=True).map(sorted), st.integers(1, 30), st.integers(1, 400))
def test_the_newest_stays(days: list[float], count: int, age: int) -> None:
    """However old it is; of the others what stays is within count and age, and a second run removes nothing."""
    kept = [_backup(one) for one in reversed(days)]
    rule = BackupRetention(count=count, days=age)
    gone = surplus(kept, rule, NOW)
    left = [one for one in kept if one not in gone]
    assert not kept or kept[-1] in left
    assert all(one.at >= NOW - age * DAY for one in left[:-1])
    assert len(left) <= count
    assert surplus(left, rule, NOW) == []
