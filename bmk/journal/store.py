"""The journal: events, runs, records per host. What all of bmk uses; which database is behind it, no caller knows."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from bmk.errors import ConfigError, PreflightRefused
from bmk.journal.database import SERVER_URL, SERVER_URL_MEANING, Connection, Database, Hold
from bmk.journal.events import Event, Level, Source
from bmk.journal.schema import MIGRATIONS
from bmk.journal.sqlite import FILE, SqliteDatabase
from bmk.paths import private_dir

if TYPE_CHECKING:
    from bmk.journal.postgres import PostgresDatabase

URL = "BMK_JOURNAL"  # environment: a database server, instead of the one that dc.yml names
MARK = "journal.url"  # below the state directory: on which server the journal is
_COLUMNS = "seq, at, run, host, phase, source, kind, level, text, data"
_INSERT = "INSERT INTO events (at, run, host, phase, source, kind, level, text, data) VALUES (?,?,?,?,?,?,?,?,?)"


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server and database. `url` holds no password; `login` returns user name and password, if needed."""

    url: str
    login: Callable[[], tuple[str, str]] | None = None


class Journal:
    """One open journal. Safe to use from threads; several processes may have it open.

    `state` is the directory of the data center's other state (keys, nonces, files of runs), which is never shared.
    """

    def __init__(self, state: Path, database: Database) -> None:
        self.state, self._database = state, database
        self._lock = threading.RLock()
        self._depth = 0  # of transactions within one another
        self._lasting = True
        self._migrate()

    @classmethod
    def open(cls, state: Path, server: Server | None = None) -> Self:
        """The journal of a data center, made when it is not there yet: in a file below `state`, or on a server.

        On a server it is a schema with the name of the state directory, which is that of the data center.
        """
        server = _chosen(state, server)
        if server is None:
            return cls(state, SqliteDatabase(state / FILE))
        database = _on_server(server, state.name)
        try:
            _exists(database, state)
            journal = cls(state, database)
        except BaseException:
            database.close()
            raise
        (private_dir(state) / MARK).write_text(f"{server.url}\n")
        return journal

    @classmethod
    def existing(cls, state: Path, server: Server | None = None) -> Self | None:
        """The journal of a data center, if anything ever happened there: who only asks leaves nothing behind."""
        server = _chosen(state, server)
        if server is None:
            return cls.open(state) if (state / FILE).exists() else None
        database = _on_server(server, state.name)
        try:
            there = _exists(database, state)
        finally:
            database.close()
        return cls.open(state, server) if there else None

    def append(self, event: Event) -> int:
        """Store one event and return its sequence number."""
        return self.extend([event])

    def extend(self, events: Iterable[Event]) -> int:
        """Store events in one transaction and return the last sequence number (0 when there were none)."""
        rows = [_row(e) for e in events]
        if not rows:
            return 0
        with self.transaction() as db:
            self._lasting = self._lasting and self._depth > 1  # events alone need not wait for a server's disk
            if rows[1:]:
                db.executemany(_INSERT, rows[:-1])
            return int(db.execute(f"{_INSERT} RETURNING seq", rows[-1]).fetchall()[0][0])

    def since(
        self, seq: int = 0, *, host: str | None = None, kind: str | None = None, limit: int | None = None
    ) -> list[Event]:
        """Events after `seq`, oldest first; `kind` may end in `.` to mean all below it."""
        where, values = ["seq > ?"], [cast(Any, seq)]
        if host is not None:
            where.append("host = ?")
            values.append(host)
        if kind is not None and kind.endswith("."):
            where.append("kind >= ? AND kind < ?")
            values += [kind, kind[:-1] + "/"]  # the character after the dot
        elif kind is not None:
            where.append("kind = ?")
            values.append(kind)
        end = "" if limit is None else " LIMIT ?"
        return self._events(f"{' AND '.join(where)} ORDER BY seq{end}", [*values, *([limit] if end else [])])

    def newest_of_hosts(self, kinds: Collection[str], but_sources: Collection[str]) -> dict[str, Event]:
        """The newest event of these kinds, and not of these sources, for every host that has one."""
        of, but = ",".join("?" * len(kinds)), ",".join("?" * len(but_sources))
        chosen = f"host IS NOT NULL AND kind IN ({of}) AND source NOT IN ({but})"
        newest = f"SELECT max(seq) FROM events WHERE {chosen} GROUP BY host"  # noqa: S608 - only question marks
        events = self._events(f"seq IN ({newest})", (*kinds, *but_sources))
        return {e.host: e for e in events if e.host is not None}

    def tails(self, count: int) -> list[Event]:
        """The newest `count` events of every host without debug events, oldest first, in one query."""
        ranked = "SELECT seq, row_number() OVER (PARTITION BY host ORDER BY seq DESC) AS n FROM events"
        chosen = f"SELECT seq FROM ({ranked} WHERE host IS NOT NULL AND level <> 'debug') AS ranked WHERE n <= ?"  # noqa: S608 - constant
        return self._events(f"seq IN ({chosen}) ORDER BY seq", (count,))

    def last_seq(self) -> int:
        """Sequence number of the newest event; 0 when there is none."""
        return int(self.query("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def record(self, host: str, key: str, value: Any) -> None:
        """Remember a fact of a host (`identity`, `disks`, `installed`, `host_keys`, ...), replacing the old."""
        row = (host, key, json.dumps(value, sort_keys=True), time.time())
        with self.transaction() as db:
            db.execute(
                "INSERT INTO records (host, key, value, at) VALUES (?,?,?,?)"
                " ON CONFLICT (host, key) DO UPDATE SET value = excluded.value, at = excluded.at",
                row,
            )

    def forget(self, host: str, key: str) -> None:
        """Drop a fact of a host; no error when there is none."""
        with self.transaction() as db:
            db.execute("DELETE FROM records WHERE host = ? AND key = ?", (host, key))

    def records(self, key: str) -> dict[str, Any]:
        """One fact of all hosts, by host name."""
        rows = self.query("SELECT host, value FROM records WHERE key = ?", (key,))
        return {host: json.loads(value) for host, value in rows}

    def facts(self, host: str) -> dict[str, Any]:
        """All facts of one host, by key."""
        rows = self.query("SELECT key, value FROM records WHERE host = ?", (host,))
        return {key: json.loads(value) for key, value in rows}

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction: all or nothing, also across kill -9. One within another is part of it.

        Nothing is stored either when the caller caught an error that a statement or a transaction within it raised:
        RuntimeError at the end.
        """
        with self._lock:
            if self._depth == 0:
                self._database.begin()
                self._lasting = True
            self._depth += 1
            try:
                yield self._database
                if self._database.failed:
                    raise RuntimeError("a part of this transaction failed, so nothing of it is stored")
                if self._depth == 1:
                    self._database.commit(self._lasting)
            except BaseException:
                self._database.failed = True
                if self._depth == 1:
                    self._database.rollback()
                raise
            finally:
                self._depth -= 1

    def query(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a read-only statement, for the modules that own a table (see `database.py` for its SQL)."""
        with self._lock:
            return self._database.execute(sql, tuple(values)).fetchall()

    def size(self) -> int:
        """Bytes that the journal takes."""
        with self._lock:
            return self._database.size()

    def hold(self, name: str) -> Hold | None:
        """Take a name for this process until it is released or the process dies; None when another process has it."""
        with self._lock:
            return self._database.hold(name)

    def close(self) -> None:
        self._database.close()

    def _events(self, condition: str, values: Iterable[Any]) -> list[Event]:
        rows = self.query(f"SELECT {_COLUMNS} FROM events WHERE {condition}", values)  # noqa: S608 - constants
        return [_event(row) for row in rows]

    def _migrate(self) -> None:
        with self.transaction():
            have = self._database.version()
            if have > len(MIGRATIONS):
                raise PreflightRefused(
                    f"the journal has version {have}, this bmk knows {len(MIGRATIONS)}",
                    where=self._database.place,
                    hint="use the version that wrote it, or a newer one",
                )
            for number, script in enumerate(MIGRATIONS[have:], start=have + 1):
                self._database.migrate(number, script)


def _on_server(server: Server, schema: str) -> PostgresDatabase:
    try:
        from bmk.journal.postgres import PostgresDatabase  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise PreflightRefused(
            "the journal is in PostgreSQL, and its driver is not installed",
            why=str(error),
            hint="scripts/setup in a checkout, else: pip install 'bmk[postgres]'",
        ) from error
    return PostgresDatabase(server.url, schema, server.login)


def _exists(database: PostgresDatabase, state: Path) -> bool:
    """Whether the server has this journal. Raises PreflightRefused when it was on a server before and is not there."""
    there, mark = database.exists(), state / MARK
    if not there and mark.exists():
        raise PreflightRefused(
            "the journal of this data center is not on this server",
            where=database.place,
            why=f"it was on {mark.read_text().strip()}; an empty one knows of no host that is installed",
            hint=f"correct spec.journal.url of dc.yml or {URL}; or, to begin an empty journal there, remove {mark}",
        )
    return there


def _chosen(state: Path, server: Server | None) -> Server | None:
    """The server that the environment names; else the one of dc.yml; None for the file.

    Raises PreflightRefused when the journal of this state is in the other kind of database: a run with an empty journal
    would install hosts that are there already.
    """
    if url := os.environ.get(URL):
        server = Server(_checked(url), None if server is None else server.login)
    if server is not None and (state / FILE).exists():
        raise PreflightRefused(
            "this data center has a journal in a file, not on the server",
            where=str(state / FILE),
            why=f"{server.url} was asked for; two journals of one data center do not know of each other's hosts",
            hint=f"remove spec.journal from dc.yml and {URL}; or, to begin an empty journal, move the file away",
        )
    if server is None and (mark := state / MARK).exists():
        raise PreflightRefused(
            f"this data center has its journal on a server: {mark.read_text().strip()}",
            where=str(mark),
            why=f"neither spec.journal of dc.yml nor {URL} names one now",
            hint="name it again in dc.yml; or, to begin an empty journal in a file, remove this one",
        )
    return server


def _checked(url: str) -> str:
    """Raises ConfigError, which does not show the URL: it may hold a password."""
    if not re.fullmatch(SERVER_URL, url):
        raise ConfigError(
            f"{URL} is not the address of a PostgreSQL database without a password",
            why=f"it has to be {SERVER_URL_MEANING}",
            hint="postgresql://USER@HOST/DATABASE; the password comes from ~/.pgpass or spec.journal.secret in dc.yml",
        )
    return url


def _row(e: Event) -> tuple[Any, ...]:
    data = json.dumps(e.data, default=str, sort_keys=True)
    return (e.at or time.time(), e.run, e.host, e.phase, e.source, e.kind, e.level, e.text, data)


def _event(row: tuple[Any, ...]) -> Event:
    seq, at, run, host, phase, source, kind, level, text, data = row
    content = cast(Mapping[str, Any], json.loads(data))
    return Event(cast(Source, source), kind, text, host, phase, run, cast(Level, level), content, at, seq)
