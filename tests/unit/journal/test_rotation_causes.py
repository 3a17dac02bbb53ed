"""Why a rotation of the encryption key is not over: a case for each end that it may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.journal import Event, Journal
from bmk.journal.backup_causes import BEGUN as BACKUP_BEGUN
from bmk.journal.backup_causes import FAILED as BACKUP_FAILED
from bmk.journal.backup_causes import PROVEN
from bmk.journal.diagnosis import diagnose_cluster
from bmk.journal.rotation_causes import BEGUN, DONE, FAILED, STEP, WAITS

CLUSTER = "apps"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path)


def tell(journal: Journal, kind: str, text: str = "said", **data: str) -> None:
    phase = "backup" if kind.startswith("backup") else "key_added"
    journal.append(Event("bmk", kind, text, CLUSTER, phase, data=data))


def test_one_that_is_over_has_no_cause(journal: Journal) -> None:
    """And is told as that."""
    tell(journal, BEGUN)
    tell(journal, DONE, "key2 is the only key")
    story = diagnose_cluster(journal, CLUSTER, "par")
    assert (story.cause, story.verdict) == (None, "its encryption key was rotated")


def test_one_that_failed_has_its_words(journal: Journal) -> None:
    """What, why and the next command, which is that of the error."""
    tell(journal, BEGUN)
    tell(journal, FAILED, "a control plane is away", why="cp-2", hint="bmk status par")
    cause = diagnose_cluster(journal, CLUSTER, "par").cause
    assert cause is not None
    assert (cause.what, cause.why, cause.hint) == ("a control plane is away", "cp-2", "bmk status par")


def test_one_that_was_killed_says_that_all_can_be_read(journal: Journal) -> None:
    """And what goes on with it."""
    tell(journal, BEGUN)
    tell(journal, STEP, "cp-1: keys key1, key2")
    cause = diagnose_cluster(journal, CLUSTER, "par").cause
    assert cause is not None
    assert "interrupted" in cause.what
    assert cause.hint == "bmk certs rotate-encryption-key par apps"


def test_one_that_waited_names_the_host(journal: Journal) -> None:
    """Its API server is looked at first."""
    tell(journal, BEGUN)
    tell(journal, WAITS, "cp-2: kube-apiserver has not begun anew", host="cp-2")
    cause = diagnose_cluster(journal, CLUSTER, "par").cause
    assert cause is not None
    assert "cp-2" in cause.why
    assert cause.hint.startswith("bmk ssh par cp-2 crictl")


def test_what_is_wrong_hides_behind_nothing(journal: Journal) -> None:
    """A rotation that was interrupted is told although a backup came about since; and the other way round."""
    tell(journal, BEGUN)
    tell(journal, BACKUP_BEGUN)
    tell(journal, PROVEN)
    story = diagnose_cluster(journal, CLUSTER, "par")
    assert story.cause is not None
    assert "rotation" in story.cause.what
    tell(journal, DONE)
    tell(journal, BACKUP_BEGUN)
    tell(journal, BACKUP_FAILED, "the place for backups refuses", reason="target")
    tell(journal, BEGUN)
    tell(journal, DONE)
    cause = diagnose_cluster(journal, CLUSTER, "par").cause
    assert cause is not None
    assert "the place for backups refuses" in cause.what
