"""The tables that a run ends with: hosts that failed, and what the smoke test saw. For people, so on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bmk.cli.output import console

if TYPE_CHECKING:
    from rich.table import Table

    from bmk.engine.executor import Outcome
    from bmk.journal import Event

_PLAIN_WIDTH = 160  # columns where there is no terminal


def show_failures(outcomes: Sequence[Outcome]) -> None:
    """Host, phase, cause and next command of each host that failed."""
    rows = [(o.host, o.phase, _cause(o), o.error.hint) for o in outcomes if o.error is not None]
    _show(("host", "phase", "cause", "next"), rows)


def show_smoke(checks: Sequence[Event]) -> None:
    """What the smoke test asked and what was answered: one row for what is well on all hosts, one for each failure."""
    well = [e for e in checks if e.data["ok"]]
    named = {name: [e for e in well if e.data["name"] == name] for name in dict.fromkeys(e.data["name"] for e in well)}
    rows = [_well(name, same) for name, same in named.items()]
    rows += [("FAILED", e.data["name"], e.host or "", e.data["detail"]) for e in checks if not e.data["ok"]]
    _show(("", "smoke test", "host", "seen"), rows)


def _well(name: str, same: Sequence[Event]) -> tuple[str, str, str, str]:
    if len(same) == 1:
        return "ok", name, same[0].host or "", same[0].data["detail"]
    return "ok", name, f"{len(same)} hosts", ""


def _cause(outcome: Outcome) -> str:
    return "\n".join(filter(None, (outcome.error.what, outcome.error.why))) if outcome.error else ""


def _show(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.text import Text

    if not rows:
        return
    table = _table(columns)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))  # Text: cells may hold square brackets
    screen = console()
    if not screen.is_terminal:
        screen.width = _PLAIN_WIDTH
    screen.print()
    screen.print(table)


def _table(columns: Sequence[str]) -> Table:
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
