"""Findings of drift runs in the journal: since when each difference is there, and how runs ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bmk.drift.model import DriftStatus, Finding
from bmk.journal import Journal

_SEEN = (
    'INSERT INTO drift ("where", key, first, last, gone, body) VALUES (?,?,?,?,NULL,?)'
    ' ON CONFLICT ("where", key, first) DO UPDATE SET last = excluded.last, gone = NULL, body = excluded.body'
)
_STANDING = (
    'INSERT INTO drift_standing ("where", run, at, body) VALUES (?,?,?,?)'
    ' ON CONFLICT ("where") DO UPDATE SET run = excluded.run, at = excluded.at, body = excluded.body'
)
_RUN = (
    "INSERT INTO drift_runs (id, started, ended, hosts, unknown, counts) VALUES (?,?,?,?,?,?)"
    " ON CONFLICT (id) DO UPDATE SET started = excluded.started, ended = excluded.ended, hosts = excluded.hosts,"
    " unknown = excluded.unknown, counts = excluded.counts"
)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that is over. `counts` by severity, of what was not expected."""

    id: str
    started: float
    ended: float
    hosts: int
    unknown: int
    counts: dict[str, int]


def remember(
    journal: Journal, run: str, started: float, ended: float, statuses: Sequence[DriftStatus]
) -> list[DriftStatus]:
    """Record the findings. Returns them with the time at which each difference was seen first.

    A difference that a host which answered no longer has is over; of a host that did not answer nothing is known.
    """
    open_ = {(where, key): first for where, key, first in journal.query(
        'SELECT "where", key, first FROM drift WHERE gone IS NULL')}  # fmt: skip
    dated = [
        replace(
            s,
            findings=tuple(
                replace(f, first=open_.get((s.name, f.difference.key), ended), last=ended) for f in s.findings
            ),
        )
        for s in statuses
    ]
    asked = [s for s in dated if not s.troubles]
    there = {(s.name, f.difference.key) for s in dated for f in s.findings}
    gone = [(ended, *known) for known in open_ if known[0] in {s.name for s in asked} and known not in there]
    rows = [(s.name, f.difference.key, f.first, ended, json.dumps(f.as_dict())) for s in dated for f in s.findings]
    past = FinishedRun(run, started, ended, len(dated), len(dated) - len(asked), count(dated))
    with journal.transaction() as db:
        db.executemany('UPDATE drift SET gone = ? WHERE "where" = ? AND key = ? AND gone IS NULL', gone)
        db.executemany(_SEEN, rows)
        db.executemany(_STANDING, [
            (s.name, run, ended, json.dumps({"state": s.state, "seconds": s.seconds, "troubles": [
                {"cause": t.cause, "text": t.text, "next": t.next} for t in s.troubles]})) for s in dated])  # fmt: skip
        values = (past.id, past.started, past.ended, past.hosts, past.unknown, json.dumps(past.counts))
        db.execute(_RUN, values)
    return dated


def count(statuses: Sequence[DriftStatus]) -> dict[str, int]:
    """Differences by severity, without those that are expected."""
    return dict(Counter[str](f.severity for s in statuses for f in s.drift))


def runs(journal: Journal, newest: int = 30) -> list[FinishedRun]:
    """The newest runs, oldest first."""
    query = "SELECT id, started, ended, hosts, unknown, counts FROM drift_runs ORDER BY started DESC LIMIT ?"
    rows = journal.query(query, (newest,))
    return [FinishedRun(i, s, e, h, u, json.loads(c)) for i, s, e, h, u, c in reversed(rows)]


def outstanding(journal: Journal, where: str | None = None) -> dict[str, list[Finding]]:
    """Differences that the last scan found, by host or cluster."""
    condition, values = ('AND "where" = ?', (where,)) if where is not None else ("", ())
    query = f'SELECT "where", body FROM drift WHERE gone IS NULL {condition} ORDER BY key'  # noqa: S608 - constants
    found: dict[str, list[Finding]] = {}
    for name, body in journal.query(query, values):
        found.setdefault(name, []).append(Finding.from_dict(json.loads(body)))
    return found


def standings(journal: Journal) -> dict[str, tuple[float, dict[str, object]]]:
    """When each host was last scanned, and the result: {state, seconds, troubles}."""
    rows = journal.query('SELECT "where", at, body FROM drift_standing')
    return {name: (at, json.loads(body)) for name, at, body in rows}
