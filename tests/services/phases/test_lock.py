"""The run lock between real processes, and what kill -9 leaves of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from bmk.engine.lock import RunLock, holder, living
from bmk.errors import LockHeld
from bmk.journal import Journal

pytestmark = pytest.mark.services

HOLD = """
import sys, time
from pathlib import Path
from bmk.journal import Journal
from bmk.engine.lock import RunLock
with RunLock(Journal(Path(sys.argv[1])), "r1"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "journal.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_run_is_refused_and_told_who(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """Who, since when and until when is in the error; its exit code is 7."""
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(LockHeld) as caught, RunLock(journal, "r2"):
        pass
    assert f"pid {other.pid}" in caught.value.what
    assert "run r1, since" in caught.value.why
    assert caught.value.exit_code == 7
    assert living(journal) == "r1"


def test_lock_of_a_killed_run_is_free_at_once(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """After kill -9 the same command continues without waiting for the lease to expire."""
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    journal = Journal(tmp_path / "journal.db")
    assert living(journal) is None
    with RunLock(journal, "r2"):
        assert living(journal) == "r2"
    assert holder(journal) is None


def test_lease_of_another_machine_counts_until_it_expires(tmp_path: Path) -> None:
    """State on shared storage: nobody can see whether a far process lives, so its lease decides."""
    journal, now = Journal(tmp_path / "journal.db"), time.time()
    with journal.transaction() as db:
        db.execute("INSERT INTO leases VALUES ('run', 'ann@far pid 9', 'r0', ?, ?, 7)", (now, now + 60))
    with pytest.raises(LockHeld, match="ann@far"), RunLock(journal, "r1"):
        pass
    with journal.transaction() as db:
        db.execute("UPDATE leases SET expires = ?", (now - 1,))
    with RunLock(journal, "r1") as lock:
        assert living(journal) == "r1"
        assert lock.fence == 8


def test_lease_is_renewed_while_its_run_lives(tmp_path: Path) -> None:
    """A run that lasts longer than its lease keeps the lock."""
    journal = Journal(tmp_path / "journal.db")
    with RunLock(journal, "r1", lease=0.3):
        first = holder(journal)
        end = time.monotonic() + 5
        while (now := holder(journal)) is not None and first is not None and now.expires <= first.expires:
            assert time.monotonic() < end, "the lease was not renewed"
            time.sleep(0.02)


def test_each_lock_has_a_higher_number(tmp_path: Path) -> None:
    """A number is never given twice, also when no lock is held in between."""
    journal = Journal(tmp_path / "journal.db")
    numbers = []
    for run in ("r1", "r2", "r3"):
        with RunLock(journal, run) as lock:
            lock.check()
            numbers.append(lock.fence)
    assert numbers == sorted(set(numbers))


def _steal(journal: Journal) -> None:
    """What a run on another machine does when it thinks that a lease is over."""
    with journal.transaction() as db:
        values = ("ann@far pid 9", time.time() + 60)
        db.execute("UPDATE leases SET owner = ?, run = 'r9', expires = ?, fence = fence + 1", values)


def test_a_run_whose_lock_was_taken_is_stopped(tmp_path: Path) -> None:
    """A destructive call is refused at once, naming who took the lock; the run is told; the taker keeps its lease."""
    journal, told = Journal(tmp_path / "journal.db"), Queue[LockHeld]()
    with RunLock(journal, "r1", lease=0.3, on_lost=told.put) as lock:
        _steal(journal)
        with pytest.raises(LockHeld, match="another run took the lock") as caught:
            lock.check()
        assert "ann@far pid 9, run r9" in caught.value.why
        assert "ann@far" in told.get(timeout=30).why
        assert [e.data["fence"] for e in journal.since(kind="run.lock_lost")] == [lock.fence]
    kept = holder(journal)
    assert kept is not None
    assert kept.run == "r9"


def test_a_lease_that_ran_out_unnoticed_is_renewed_before_it_counts(tmp_path: Path) -> None:
    """A machine that was suspended for minutes goes on when nobody took the lock meanwhile."""
    journal = Journal(tmp_path / "journal.db")
    with RunLock(journal, "r1") as lock:
        with journal.transaction() as db:
            db.execute("UPDATE leases SET expires = ?", (time.time() - 1,))
        lock.check()
        assert living(journal) == "r1"
