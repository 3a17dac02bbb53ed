"""The database behind a journal, as a port: SQLite (`sqlite.py`) is the embedded default, PostgreSQL (`postgres.py`)
the one for several operators and controllers.

Each statement of bmk exists once, in SQL that both understand: `?` stands for a value, upserts are
`INSERT ... ON CONFLICT ... DO UPDATE`, new keys come back by `RETURNING`, an unlimited `LIMIT` is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from bmk.errors import BmkError

Row = tuple[Any, ...]

# A database server as dc.yml and BMK_JOURNAL may name it. libpq knows many more options, also percent-encoded: for
# passwords, files to read keys from or to write those of TLS to, engines to load. With sslmode=prefer or allow whoever
# is in between decides whether there is TLS.
_WORD = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_OPTION = (
    "(host=[A-Za-z0-9_./-]+|sslmode=(disable|require|verify-ca|verify-full)|sslrootcert=[A-Za-z0-9_./-]+"
    "|target_session_attrs=[a-z-]+)"
)
SERVER_URL = rf"postgres(ql)?://({_WORD}@)?[\[\]A-Za-z0-9.,:-]{{0,200}}/{_WORD}(\?{_OPTION}(&{_OPTION}){{0,3}})?"
SERVER_URL_MEANING = (
    "a database such as postgresql://db.example.net/bmk, without a password; after a ? may come host, "
    "target_session_attrs, sslrootcert, and sslmode with verify-full, verify-ca, require or disable"
)


class Conflict(Exception):
    """A row breaks a rule of its table, such as a second open grant of a host."""


class JournalUnavailable(BmkError):
    """The journal cannot be read or written: disk full, read-only, or the database server is away."""

    code = "journal"


def storable(values: Sequence[Any]) -> Sequence[Any]:
    """Values without what a column of text cannot hold: NUL and lone surrogates, which machines send, become U+FFFD."""
    return [_printed(v) if isinstance(v, str) and not (v.isascii() and "\0" not in v) else v for v in values]


def _printed(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Result(Protocol):
    """What a statement returned. `rowcount` is the number of rows that it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """Where statements are executed. Raises Conflict and JournalUnavailable."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Result: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None: ...


class Hold(Protocol):
    """A name that this process has for itself; it is given up when the process dies, also by kill -9."""

    def keep(self) -> bool:
        """Whether it is still held; called while the lease is renewed."""

    def release(self) -> None: ...


class Database(Connection, Protocol):
    """One connection, used by one thread at a time (the Journal sees to that).

    `failed`: something within this transaction failed, so it must not be committed: PostgreSQL would discard all of it,
    SQLite store the rest. `begin` resets it.
    """

    failed: bool

    @property
    def place(self) -> str:
        """File or URL, for messages; without any password."""

    def begin(self) -> None:
        """Begin a transaction and wait until no other process writes: there is one writer at a time.

        So sequence numbers of events become visible in their order, and a reader that continues after the newest number
        that it saw misses none.
        """

    def commit(self, lasting: bool) -> None:
        """`lasting`: a server has it on disk before this returns; else within a second, enough for events alone."""

    def rollback(self) -> None: ...

    def version(self) -> int:
        """Number of the newest migration that was applied; 0 in an empty database. Within a transaction."""

    def migrate(self, number: int, script: str) -> None:
        """Apply one migration of `schema.py`. Within a transaction."""

    def size(self) -> int:
        """Bytes on disk."""

    def hold(self, name: str) -> Hold | None:
        """Take a name for this process; None when another process has it."""

    def close(self) -> None: ...
