"""How long a data center keeps events, findings and run directories. What explains a host stays, however old."""

from __future__ import annotations

import re
import shutil
import time
from calendar import timegm
from dataclasses import dataclass
from pathlib import Path

from bmk.journal.store import Journal

NEWEST = 500  # events of each host that stay however old they are: where it is, and why, is told from them
_BATCH = 5000  # rows in one transaction, so that nobody waits long for the journal
_DAY = 86400.0
_RUN = re.compile(r"([0-9]{8}-[0-9]{6})-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is kept now. `oldest` in seconds since the epoch, 0 without events; `size` of the journal in bytes."""

    events: int
    oldest: float
    size: int
    runs: int


def figures(journal: Journal) -> Figures:
    """Count events and run directories."""
    events, oldest = journal.query("SELECT count(*), coalesce(min(at), 0) FROM events")[0]
    return Figures(events, oldest, journal.size(), len(_runs(journal)))


def prune(journal: Journal, days: int, now: float) -> None:
    """Forget what is older than `days`, at the end of a run. Killed anywhere, the next one goes on."""
    before = now - days * _DAY
    for (host,) in journal.query("SELECT DISTINCT host FROM events WHERE at < ?", (before,)):
        _forget_events(journal, host, before)
    with journal.transaction() as db:
        db.execute("DELETE FROM drift WHERE gone IS NOT NULL AND gone < ?", (before,))
        db.execute("DELETE FROM drift_runs WHERE ended < ?", (before,))
        db.execute("DELETE FROM runs WHERE ended IS NOT NULL AND ended < ?", (before,))
    for directory, began in _runs(journal).items():
        if began < before:
            shutil.rmtree(directory, ignore_errors=True)


def _forget_events(journal: Journal, host: str | None, before: float) -> None:
    of, values = ("host IS NULL", ()) if host is None else ("host = ?", (host,))
    newest = f"SELECT seq FROM events WHERE {of} ORDER BY seq DESC LIMIT 1 OFFSET ?"  # noqa: S608 - constants
    found = journal.query(newest, (*values, NEWEST - 1))
    old = f"SELECT seq FROM events WHERE {of} AND seq < ? AND at < ? LIMIT ?"  # noqa: S608 - constants
    while found:
        with journal.transaction() as db:
            batch = (*values, found[0][0], before, _BATCH)
            if db.execute(f"DELETE FROM events WHERE seq IN ({old})", batch).rowcount < _BATCH:  # noqa: S608 - constant
                return


def _runs(journal: Journal) -> dict[Path, float]:
    """Directories of runs, and when each began in seconds since the epoch."""
    found = {path: _RUN.fullmatch(path.name) for path in (journal.state / "runs").glob("*")}
    return {path: float(timegm(time.strptime(m[1], "%Y%m%d-%H%M%S"))) for path, m in found.items() if m}
