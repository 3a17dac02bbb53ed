"""The run lock between real processes, on both databases: who holds it, what kill -9 leaves of it, how it is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue

import psycopg
import pytest

from bmk.engine.lock import RunLock, holder, living
from bmk.errors import LockHeld
from bmk.journal import Journal, Server
from bmk.journal.postgres import SessionLock
from tests import postgres

pytestmark = pytest.mark.services

OpenJournal = Callable[..., Journal]
HOLD = """
import sys, time
from pathlib import Path
from bmk.journal import Journal, Server
from bmk.engine.lock import RunLock
with RunLock(Journal.open(Path(sys.argv[1]), Server(sys.argv[2]) if sys.argv[2] else None), "r1"):
    print("held", flush=True)
    time.sleep(600)
"""
FULL = """
import sys
from contextlib import suppress
from pathlib import Path
from queue import Queue
from bmk.engine.lock import RunLock
from bmk.journal import Journal
state, told = Path(sys.argv[1]), Queue()
with RunLock(Journal.open(state), "r1", lease=0.6, on_lost=told.put):
    with suppress(OSError), (state / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    print(told.get(timeout=60))
"""


@pytest.fixture
def other(tmp_path: Path, server: Server | None) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `par`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "par"), server.url if server else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_run_is_refused_and_told_who(other: subprocess.Popen[str], journal: Journal) -> None:
    """Who, since when and until when is in the error; its exit code is 7."""
    with pytest.raises(LockHeld) as caught, RunLock(journal, "r2"):
        pass
    assert f"pid {other.pid}" in caught.value.what
    assert "run r1, since" in caught.value.why
    assert caught.value.exit_code == 7
    assert living(journal) == "r1"


def test_lock_of_a_killed_run_is_free_at_once(other: subprocess.Popen[str], journal: Journal) -> None:
    """After kill -9 the same command continues without waiting for the lease to expire."""
    before = holder(journal)
    assert before is not None
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert living(journal) is None
    with _taken_soon(journal, "r2") as lock:
        assert living(journal) == "r2"
        assert lock.fence > before.fence
    assert holder(journal) is None


def _taken_soon(journal: Journal, run: str) -> RunLock:
    """A server learns of a death from the kernel, a moment later; far earlier than a lease ends."""
    end = time.monotonic() + 30
    while (held := journal.hold("run")) is None:
        assert time.monotonic() < end, "the lock of the dead process was not dropped"
    held.release()
    while (held := journal.hold("run")) is None:  # our own session ends a moment later, too
        assert time.monotonic() < end
    held.release()
    return RunLock(journal, run)


def test_lease_of_another_machine_counts_until_it_expires(journal: Journal) -> None:
    """Nobody can see whether a process of another machine lives, so its lease decides."""
    now = time.time()
    with journal.transaction() as db:
        values = (now, now + 60)
        db.execute("INSERT INTO leases VALUES ('run', 'ann@far pid 9', 'r0', ?, ?, 7)", values)
    with pytest.raises(LockHeld, match="ann@far"), RunLock(journal, "r1"):
        pass
    with journal.transaction() as db:
        db.execute("UPDATE leases SET expires = ?", (now - 1,))
    with RunLock(journal, "r1") as lock:
        assert living(journal) == "r1"
        assert lock.fence == 8


def test_lease_is_renewed_while_its_run_lives(journal: Journal) -> None:
    """A run that lasts longer than its lease keeps the lock."""
    with RunLock(journal, "r1", lease=0.6):
        first = holder(journal)
        end = time.monotonic() + 30
        while (now := holder(journal)) is not None and first is not None and now.expires <= first.expires:
            assert time.monotonic() < end, "the lease was not renewed"
            time.sleep(0.02)


def test_each_lock_has_a_higher_number(journal: Journal) -> None:
    """A number is never given twice, also when no lock is held in between."""
    numbers = []
    for run in ("r1", "r2", "r3"):
        with _taken_soon(journal, run) as lock:
            lock.check()
            numbers.append(lock.fence)
    assert numbers == sorted(set(numbers))


def _steal(journal: Journal) -> None:
    """What a run on another machine does when it thinks that a lease is over."""
    with journal.transaction() as db:
        values = ("ann@far pid 9", time.time() + 60)
        db.execute("UPDATE leases SET owner = ?, run = 'r9', expires = ?, fence = fence + 1", values)


def test_a_run_whose_lock_was_taken_is_stopped(journal: Journal) -> None:
    """A destructive call is refused at once, naming who took the lock; the run is told; the taker keeps its lease."""
    told = Queue[LockHeld]()
    with RunLock(journal, "r1", lease=0.6, on_lost=told.put) as lock:
        _steal(journal)
        with pytest.raises(LockHeld, match="another run took the lock") as caught:
            lock.check()
        assert "ann@far pid 9, run r9" in caught.value.why
        assert "ann@far" in told.get(timeout=60).why
        assert [e.data["fence"] for e in journal.since(kind="run.lock_lost")] == [lock.fence]
    kept = holder(journal)
    assert kept is not None
    assert kept.run == "r9"


def test_a_lease_that_ran_out_unnoticed_is_renewed_before_it_counts(journal: Journal) -> None:
    """A machine that was suspended for minutes goes on when nobody took the lock meanwhile."""
    with RunLock(journal, "r1") as lock:
        with journal.transaction() as db:
            db.execute("UPDATE leases SET expires = ?", (time.time() - 1,))
        lock.check()
        assert living(journal) == "r1"


def test_a_full_disk_loses_the_lock_and_is_named(tmp_path: Path) -> None:
    """When the lease ends and could not be renewed, the run is stopped with the real cause."""
    small = 'mount -t tmpfs -o size=1m none "$1"; exec "$2" -c "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", small, "sh", str(tmp_path)]
    env = {name: value for name, value in os.environ.items() if name != "BMK_JOURNAL"}
    command += [sys.executable, FULL]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert "could not be renewed" in done.stdout, done.stderr
    assert "disk is full" in done.stdout


def test_a_journal_that_became_read_only_loses_the_lock_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is stopped when the lease ends, and later calls are refused with the same cause."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    journal, told = Journal.open(tmp_path / "par"), Queue[LockHeld]()
    with RunLock(journal, "r1", lease=0.6, on_lost=told.put) as lock:
        journal.query("PRAGMA query_only = 1")
        assert "readonly" in told.get(timeout=60).why
        with pytest.raises(LockHeld, match="could not be renewed"):
            lock.check()


def test_a_lock_whose_connection_broke_is_taken_anew_when_the_server_lets_go(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may notice later than the client that a connection is gone. Until then nothing destructive is done;
    the run does not lose its lock to itself; and afterwards it holds the lock again, not only the lease.
    """
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    journal, server = Journal.open(tmp_path / "par", Server(postgres_server.url)), Server(postgres_server.url)
    with RunLock(journal, "r1") as lock:
        assert isinstance(lock._hold, SessionLock)
        assert lock._hold._db is not None
        lock._hold._db.close()
        end, other = time.monotonic() + 30, None
        while other is None:  # it stands for the session that the server still has
            assert time.monotonic() < end
            other = Journal.open(tmp_path / "par", server).hold("run")
        for _ in range(2):
            with journal.transaction() as db:
                db.execute("UPDATE leases SET expires = ?", (time.time() - 1,))
            with pytest.raises(LockHeld, match="cannot prove"):
                lock.check()
        other.release()
        while lock.lost is None:
            assert time.monotonic() < end
            with suppress(LockHeld):
                lock.check()
                break
        assert lock.lost is None
        assert journal.hold("run") is None
    postgres_server.empty()


def test_a_connection_without_the_lock_is_not_taken_for_it(postgres_server: postgres.Server) -> None:
    """The server was reached, and did not say whether the lock is ours: the next question asks for it again."""
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE barred LOGIN")
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) FROM PUBLIC")
        url = postgres_server.url.replace("postgresql://bmk@", "postgresql://barred@")
        lock = SessionLock(lambda: psycopg.connect(url, autocommit=True), 1)
        for _ in range(2):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                lock.keep()
        admin.execute("GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) TO PUBLIC")
        assert lock.keep()
        assert lock.keep()
        lock.release()
        admin.execute("DROP ROLE barred")


def test_a_database_that_is_away_ends_the_run_when_the_lease_ends(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder stops on its own; before that, destructive calls are refused because nobody can say who holds it."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    journal, told = Journal.open(tmp_path / "away", Server(postgres_server.url)), Queue[LockHeld]()
    with RunLock(journal, "r1", lease=3.0, on_lost=told.put) as lock:
        postgres_server.control("stop", "-m", "immediate")
        try:
            with pytest.raises(LockHeld) as caught:
                lock.check()
            assert "cannot be read" in caught.value.why
            assert "could not be renewed" in told.get(timeout=60).what
        finally:
            postgres_server.control("start")
