"""What commands say of backups: status, why, metrics, the page; and each reason why one does not count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bmk.backup.refusal import refused
from bmk.cli import COMMANDS
from bmk.journal import Event
from bmk.journal.backup_causes import BEGUN, FAILED, PROVEN, REASONS, backup_cause
from bmk.journal.records import BackupRecord, ProvenBackup
from bmk.report.backup import as_metrics, lines, rows

NOW = 1_000_000.0
ONE = ProvenBackup(
    name="par.apps.1.age", at=NOW - 7200, sha256="a" * 64, size=12_000_000, revision=90, keys=55, cluster_id="a"
)
RECORD = BackupRecord(at=NOW - 7000, kept=(ONE.model_copy(update={"name": "old"}), ONE))


def _event(kind: str, text: str = "", **data: object) -> Event:
    return Event("bmk", kind, text or kind, "apps", "backup", data=data, at=NOW)


def _raised() -> set[str]:
    """Reasons that the sources name."""
    root = Path(__file__).resolve().parents[3] / "bmk"
    texts = "".join(p.read_text() for folder in ("backup", "live") for p in (root / folder).rglob("*.py"))
    found = set(re.findall(r'refused\(\s*"([a-z-]+)"', texts))
    return (
        found
        | set(re.findall(r'refused\("([a-z-]+)" if [^,]*? else "', texts))
        | set(re.findall(r'else "([a-z-]+)"(?:, |\))', "".join(re.findall(r"refused\(.*", texts))))
    )


@pytest.mark.parametrize("reason", REASONS)
def test_why_names_each_reason_and_what_comes_next(reason: str) -> None:
    """The words are those of the error itself, and each command in them exists."""
    error = refused(reason, "because", "par.apps.1.age")
    failed = _event(FAILED, error.what, reason=error.reason, why=error.why)
    cause = backup_cause([_event(PROVEN), _event(BEGUN), failed], "par", "apps")
    assert cause is not None
    assert (cause.what, cause.why) == (REASONS[reason].what, "because")
    assert "{" not in cause.hint
    for command in cause.hint.split("bmk ")[1:]:
        assert command.split()[0] in COMMANDS


def test_there_is_a_reason_for_each_refusal() -> None:
    """And none that nothing raises."""
    assert _raised() == set(REASONS)


def test_a_backup_that_was_killed_is_interrupted() -> None:
    """It began and did not end; before the first there is nothing to say, nor after one that was proven."""
    cause = backup_cause([_event(PROVEN), _event(BEGUN)], "par", "apps")
    assert cause is not None
    assert "interrupted" in cause.what
    assert cause.hint == "bmk backup par apps"
    assert backup_cause([], "par", "apps") is None
    assert backup_cause([_event(FAILED), _event(BEGUN), _event(PROVEN)], "par", "apps") is None


def test_another_error_keeps_its_own_hint() -> None:
    """Such as a control plane that does not answer."""
    cause = backup_cause([_event(FAILED, "ssh does not answer", why="timed out", hint="")], "par", "apps")
    assert cause is not None
    assert (cause.what, cause.why, cause.hint) == ("ssh does not answer", "timed out", "bmk backup par apps")


def test_the_age_is_that_of_the_newest_proven_one() -> None:
    """For people in lines, for programs in rows with the newest first; one that has none says so."""
    assert lines({"apps": RECORD, "new": BackupRecord()}, NOW) == [
        "backup of apps: proven, 2 h old, revision 90; 2 kept",
        "backup of new: NONE was ever proven",
    ]
    assert [row["backup"] for row in rows({"apps": RECORD}, NOW)] == ["par.apps.1.age", "old"]


def test_metrics_say_when_and_not_how_old() -> None:
    """A textfile that is written no more must not freeze an age; never is 0, which every alert sees."""
    text = as_metrics("par", {"apps": RECORD, "new": BackupRecord()})
    assert f'bmk_backup_last_proven_timestamp_seconds{{datacenter="par",cluster="apps"}} {round(ONE.at)}' in text
    assert 'bmk_backup_last_proven_timestamp_seconds{datacenter="par",cluster="new"} 0' in text
    assert 'bmk_backup_kept{datacenter="par",cluster="apps"} 2' in text
    assert 'size_bytes{datacenter="par",cluster="new"}' not in text
