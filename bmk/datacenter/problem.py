"""What is wrong with a data center file, where it is written, and how a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from bmk.datacenter.source import SourceFiles
from bmk.document import Loc, Mark, excerpt
from bmk.errors import ConfigError

_SHOWN = 50  # problems printed in full; a table of thousands helps nobody


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at `loc` (keys and indices from the top of the file).

    `key`: the key is at fault, not its value. `other`: the place that it clashes with.
    """

    loc: Loc
    what: str
    hint: str = ""
    key: bool = False
    other: Loc = ()


@dataclass(frozen=True, slots=True)
class Located:
    """A problem with its place, ready to print or to be written as JSON."""

    path: str
    line: int
    column: int
    what: str
    hint: str
    text: str

    def __str__(self) -> str:
        parts = [f"{self.path}:{self.line}:{self.column}: {self.what}", excerpt(self.text, self.column)]
        return "\n".join([*parts, *([f"  next: {self.hint}"] if self.hint else [])])


class InvalidDataCenter(ConfigError):
    """Everything that is wrong with a data center file, in the order of its lines."""

    def __init__(self, name: str, problems: Sequence[Located]) -> None:
        blocks = [str(p) for p in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            blocks.append(f"... and {len(problems) - _SHOWN} more")
        count = f"{counted(len(problems), 'problem')} in the data center {name}"
        super().__init__("\n".join([count, *blocks]))
        self.problems = tuple(problems)

    def as_dicts(self) -> list[dict[str, Any]]:
        """For `-o json`."""
        return [asdict(p) for p in self.problems]


def locate(source: SourceFiles, problems: Iterable[Problem]) -> list[Located]:
    """Give every problem its file, line and column, sorted by them; flaws of the text itself come along."""
    found = [_located(source, source.locate(p.loc, key=p.key)[0], _words(source, p), p.hint) for p in problems]
    found += [_located(source, flaw.mark, flaw.what, flaw.hint) for flaw in source.flaws()]
    return sorted(set(found), key=lambda p: (p.path, p.line, p.column, p.what))


def did_you_mean(wrong: str, names: Iterable[str], otherwise: str = "") -> str:
    """`did you mean 'x'?` for the nearest other name; else the names there are, when they are few."""
    known = sorted(set(names) - {wrong})
    if near := get_close_matches(wrong, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]!r}?"
    if 0 < len(known) <= 12:
        return f"one of: {', '.join(known)}"
    return otherwise


def counted(number: int, what: str) -> str:
    """`1 control plane`, `3 control planes`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _words(source: SourceFiles, problem: Problem) -> str:
    return f"{problem.what} at {source.locate(problem.other)[0]}" if problem.other else problem.what


def _located(source: SourceFiles, mark: Mark, what: str, hint: str) -> Located:
    return Located(str(mark.path), mark.line, mark.column, what, hint, source.line(mark))
