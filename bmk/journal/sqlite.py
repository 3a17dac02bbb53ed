"""The embedded journal: one SQLite file per data center. WAL, so that writers never block readers."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmk.errors import PreflightRefused
from bmk.journal.database import Conflict, Hold, JournalUnavailable, storable
from bmk.journal.mounts import network_filesystem
from bmk.paths import private_dir

FILE = "journal.db"  # below the state directory


class SqliteDatabase:
    """Raises PreflightRefused when the file would lie on a network file system, where WAL corrupts it."""

    def __init__(self, path: Path) -> None:
        _require_local(path.parent)
        private_dir(path.parent)
        self._path, self.failed = path, False
        with self._failures():
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=30000;")
            path.chmod(0o600)

    @property
    def place(self) -> str:
        return str(self._path)

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> sqlite3.Cursor:
        with self._failures():
            return self._db.execute(sql, storable(values))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        with self._failures():
            self._db.executemany(sql, map(storable, rows))

    def begin(self) -> None:
        self.failed = False
        self.execute("BEGIN IMMEDIATE")

    def commit(self, lasting: bool) -> None:  # noqa: ARG002 - survives kill -9; a power cut may cost the last second
        self.execute("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
            self.execute("ROLLBACK")

    def version(self) -> int:
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def migrate(self, number: int, script: str) -> None:
        for statement in filter(str.strip, script.split(";")):
            self.execute(statement)
        self.execute(f"PRAGMA user_version = {number}")

    def size(self) -> int:
        return self._path.stat().st_size

    def hold(self, name: str) -> Hold | None:
        return FileLock.take(self._path.with_name(f"{name}.lock"))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:  # a bug, such as a journal that was closed
            self.failed = True
            raise
        except sqlite3.IntegrityError as error:
            self.failed = True
            raise Conflict(str(error)) from error
        except sqlite3.DatabaseError as error:
            self.failed = True
            usable = isinstance(error, sqlite3.OperationalError)  # else its bytes are not those of a journal
            raise JournalUnavailable(
                "the journal cannot be read or written",
                where=str(self._path),
                why=str(error),
                hint="see that its disk has room and can be written; the same command continues"
                if usable
                else "put back a copy (docs/journal.md, Backup)",
            ) from error


class FileLock:
    """A lock of the kernel on a file: dropped when its process dies, and seen from every namespace of this machine."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def keep(self) -> bool:
        return True

    def release(self) -> None:
        os.close(self._descriptor)


def _require_local(directory: Path, mounts: Callable[[], str] = Path("/proc/self/mountinfo").read_text) -> None:
    kind = network_filesystem(directory.resolve(), mounts())
    if kind is not None:
        raise PreflightRefused(
            f"the state directory lies on a network file system ({kind})",
            where=str(directory),
            why="SQLite shares memory between processes, which no network file system carries to other machines: "
            "two of them would destroy the journal",
            hint="set BMK_STATE_DIR to a local directory; several controllers share a journal in PostgreSQL "
            "(spec.journal of dc.yml)",
        )
