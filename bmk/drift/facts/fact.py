"""A fact: a kind of item, the shell command that prints it on a host, and the parser of what it prints. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bmk.drift.kind import Items, Kind

# A shell condition: true in a container, which sees the kernel and the disks of the machine around it.
IN_CONTAINER = "tr '\\0' '\\n' < /proc/1/environ | grep -q ^container="
Found = dict[str, dict[str, Any]]  # id -> attributes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a script asks for: ids of each kind, directories to list, files and directories to read texts from."""

    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    listed: Sequence[str] = ()
    texts: Sequence[str] = ()

    def of(self, kind: str) -> Sequence[str]:
        return self.ids.get(kind, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Kind):
    """`command` gives shell code that prints lines ("": nothing to ask), `parse` reads them; ValueError on other lines.

    `baseline` picks what the signed baseline records of the items; None: nothing. `may_vanish`: an item of the baseline
    that is gone is no difference. `every_scan`: asked in each scan, and not only on request.
    """

    command: Callable[[Wanted], str]
    parse: Callable[[Sequence[str]], Found]
    baseline: Callable[[Items], Items] | None = None
    may_vanish: bool = False
    every_scan: bool = True


def attributes(*names: str) -> Callable[[Items], Items]:
    """A baseline of these attributes of each item."""
    return lambda items: {id_: {a: value for a, value in of.items() if a in names} for id_, of in items.items()}


def words(values: Iterable[str]) -> str:
    """As words of a shell command."""
    return " ".join(shlex.quote(v) for v in values)


def columns(line: str, count: int) -> list[str]:
    """Fields of a line with tabs between. ValueError when there are more or fewer."""
    parts = line.split("\t")
    if len(parts) != count:
        raise ValueError(f"{len(parts)} fields instead of {count}: {line[:80]!r}")
    return parts


def pairs(lines: Iterable[str]) -> dict[str, str]:
    """`key=value` lines."""
    return dict(line.split("=", 1) for line in lines if "=" in line)
