"""What tests of drift planted, for people: a table at the end of the run, a row for each difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Row:
    """`planted` in words, where it shows, what was found and how bad it is said to be, and how it went away."""

    planted: str
    where: str
    found: str
    severity: str
    repaired: str


ROWS = pytest.StashKey[dict[tuple[str, str], Row]]()
_WIDTH = 64
_HEAD = Row("planted", "where", "found", "class", "repaired")


def record(config: pytest.Config, row: Row) -> None:
    """Remember a row; a later one about the same difference takes its place."""
    config.stash.setdefault(ROWS, {})[row.where, row.found] = row


def table(rows: Sequence[Row]) -> list[str]:
    """Lines, columns under one another."""
    cells = [[_cut(c) for c in (r.planted, r.where, r.found, r.severity, r.repaired)] for r in (_HEAD, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
