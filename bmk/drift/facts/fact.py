"""What a fact is: a shell command for what is wanted, and a parser of what it prints. Both pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# A condition for a shell: a container, which sees kernel and disks of the machine around it.
IN_CONTAINER = "tr '\\0' '\\n' < /proc/1/environ | grep -q ^container="
Found = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a script asks for: ids of each kind, directories to list, files and directories to bring texts of."""

    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    listed: Sequence[str] = ()
    texts: Sequence[str] = ()

    def of(self, kind: str) -> Sequence[str]:
        return self.ids.get(kind, ())


@dataclass(frozen=True, slots=True)
class Fact:
    """`name` is the kind of what it finds; `command` prints lines (nothing to ask: ""), `parse` reads them.

    `parse` raises ValueError on what it cannot read.
    """

    name: str
    command: Callable[[Wanted], str]
    parse: Callable[[Sequence[str]], Found]


def words(values: Iterable[str]) -> str:
    """As words of a shell command."""
    return " ".join(shlex.quote(v) for v in values)


def columns(line: str, count: int) -> list[str]:
    """Fields of a line with tabs between. ValueError when it is another line."""
    parts = line.split("\t")
    if len(parts) != count:
        raise ValueError(f"{len(parts)} fields instead of {count}: {line[:80]!r}")
    return parts


def pairs(lines: Iterable[str]) -> dict[str, str]:
    """`key=value` lines."""
    return dict(line.split("=", 1) for line in lines if "=" in line)
