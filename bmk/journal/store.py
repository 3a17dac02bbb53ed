"""The SQLite file behind the journal: events, runs, records per host. WAL, so that writers never block readers."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from bmk.errors import PreflightRefused
from bmk.journal.events import Event, Level, Source
from bmk.journal.schema import MIGRATIONS
from bmk.paths import private_dir, state_dir

_COLUMNS = "seq, at, run, host, phase, source, kind, level, text, data"
_INSERT = "INSERT INTO events (at, run, host, phase, source, kind, level, text, data) VALUES (?,?,?,?,?,?,?,?,?)"


def open_journal(dc: str) -> Journal:
    """The journal of a data center, made when it is not there yet."""
    return Journal(state_dir(dc) / "journal.db")


def existing_journal(dc: str) -> Journal | None:
    """The journal of a data center, if anything ever happened there: who only asks leaves nothing behind."""
    path = state_dir(dc) / "journal.db"
    return Journal(path) if path.exists() else None


class Journal:
    """One open journal. Safe to use from threads; several processes may have it open."""

    def __init__(self, path: Path) -> None:
        private_dir(path.parent)
        self.path = path
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=30000;")
        path.chmod(0o600)
        self._migrate()

    def append(self, event: Event) -> int:
        """Store one event and return its sequence number."""
        return self.extend([event])

    def extend(self, events: Iterable[Event]) -> int:
        """Store events in one transaction and return the last sequence number (0 when there were none)."""
        rows = [_row(e) for e in events]
        if not rows:
            return 0
        with self.transaction() as db:
            for row in rows:
                last = db.execute(_INSERT, row).lastrowid
        return cast(int, last)

    def since(self, seq: int = 0, *, host: str | None = None, kind: str | None = None, limit: int = -1) -> list[Event]:
        """Events after `seq`, oldest first; `kind` may end in `.` to mean all below it."""
        where, values = ["seq > ?"], [cast(Any, seq)]
        if host is not None:
            where.append("host = ?")
            values.append(host)
        if kind is not None:
            where.append("kind GLOB ?")
            values.append(kind + "*" if kind.endswith(".") else kind)
        query = f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"  # noqa: S608 - constants
        with self._lock:
            return [_event(row) for row in self._db.execute(query, [*values, limit])]

    def numbered(self, numbers: Sequence[int]) -> list[Event]:
        """Events by their sequence numbers, oldest first."""
        query = f"SELECT {_COLUMNS} FROM events WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"  # noqa: S608
        with self._lock:
            return [_event(row) for row in self._db.execute(query, (json.dumps(list(numbers)),))]

    def last_seq(self) -> int:
        """Sequence number of the newest event; 0 when there is none."""
        with self._lock:
            return cast(int, self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    def record(self, host: str, key: str, value: Any) -> None:
        """Remember a fact of a host (`identity`, `disks`, `installed`, `host_keys`, ...), replacing the old."""
        row = (host, key, json.dumps(value, sort_keys=True), time.time())
        with self.transaction() as db:
            db.execute("REPLACE INTO records VALUES (?,?,?,?)", row)

    def forget(self, host: str, key: str) -> None:
        """Drop a fact of a host; no error when there is none."""
        with self.transaction() as db:
            db.execute("DELETE FROM records WHERE host = ? AND key = ?", (host, key))

    def records(self, key: str) -> dict[str, Any]:
        """One fact of all hosts, by host name."""
        with self._lock:
            rows = self._db.execute("SELECT host, value FROM records WHERE key = ?", (key,)).fetchall()
        return {host: json.loads(value) for host, value in rows}

    def facts(self, host: str) -> dict[str, Any]:
        """All facts of one host, by key."""
        with self._lock:
            rows = self._db.execute("SELECT key, value FROM records WHERE host = ?", (host,)).fetchall()
        return {key: json.loads(value) for key, value in rows}

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all or nothing, also across kill -9. One within another is part of it."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def query(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a read-only statement, for the modules that own a table (grants, leases, runs)."""
        with self._lock:
            return self._db.execute(sql, tuple(values)).fetchall()

    def close(self) -> None:
        self._db.close()

    def _migrate(self) -> None:
        with self.transaction() as db:
            have = db.execute("PRAGMA user_version").fetchone()[0]
            if have > len(MIGRATIONS):
                raise PreflightRefused(
                    f"the journal has version {have}, this bmk knows {len(MIGRATIONS)}",
                    where=str(self.path),
                    hint="use the version that wrote it, or a newer one",
                )
            for number, script in enumerate(MIGRATIONS[have:], start=have + 1):
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")


def _row(e: Event) -> tuple[Any, ...]:
    data = json.dumps(e.data, default=str, sort_keys=True)
    return (e.at or time.time(), e.run, e.host, e.phase, e.source, e.kind, e.level, e.text, data)


def _event(row: tuple[Any, ...]) -> Event:
    seq, at, run, host, phase, source, kind, level, text, data = row
    content = cast(Mapping[str, Any], json.loads(data))
    return Event(cast(Source, source), kind, text, host, phase, run, cast(Level, level), content, at, seq)
