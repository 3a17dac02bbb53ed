"""Output: data on stdout in the requested format, everything else through one console on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from bmk.terminal import beneath

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

Row = Mapping[str, Any]


def use_colour(stream: IO[Any]) -> bool:
    """Colour for terminals only. A non-empty NO_COLOR forbids it, a non-empty FORCE_COLOR asks for it."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def console(*, stderr: bool = True) -> Console:
    """The one way to get a rich console. Messages and progress go to stderr; tables that are data ask for stdout."""
    from bmk.cli.screen import Screen

    stream = sys.stderr if stderr else sys.stdout
    colour = use_colour(stream)
    return Screen(
        file=beneath(stream),
        no_color=not colour,
        force_terminal=None if colour else False,
        highlight=False,
        markup=False,
    )


def say(text: str) -> None:
    """One plain line for a person, on stderr."""
    click.echo(text, err=True, color=use_colour(sys.stderr))


def emit(rows: Iterable[Row], output: str, columns: Sequence[str], wide: Sequence[str] = ()) -> None:
    """Print rows as the `-o` of the user says. `columns` make the table, `wide` are the further ones of `-o wide`.

    json and yaml print all keys of a row; name prints the value of the first column, one a line.
    """
    rows = list(rows)
    if output == "name":
        click.echo("".join(f"{row[columns[0]]}\n" for row in rows), nl=False)
    elif output in ("json", "yaml"):
        dump([dict(row) for row in rows], output)
    else:
        _table(rows, [*columns, *(wide if output == "wide" else ())])


def dump(value: Any, output: str) -> None:
    """Print one value as json or yaml on stdout."""
    text = json.dumps(value, indent=2, default=str)
    if output == "yaml":
        from bmk.document import to_yaml

        text = to_yaml(json.loads(text)).rstrip("\n")
    click.echo(text)


def replace_whole(path: Path, text: str) -> None:
    """Write a file for others: whoever reads it meanwhile sees the old or the new."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Columns as wide as their content, never cut: output may be piped."""
    lines = [[c.upper().replace("_", " ") for c in columns], *([_cell(row.get(c)) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(map(_cell, value))
    return str(value).replace("\n", "\\n")  # a row is a line
