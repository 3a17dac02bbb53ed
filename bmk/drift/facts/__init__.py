"""What is asked of a host: one script for all facts, one answer. A fact is found where its module defines it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted
from bmk.drift.facts.files import MANIFEST, TEXTS
from bmk.drift.kind import discover

ALL: tuple[Fact, ...] = tuple(fact for fact in discover(__name__, __path__) if isinstance(fact, Fact))
FACTS: tuple[Fact, ...] = tuple(fact for fact in ALL if fact.every_scan)

__all__ = ["ALL", "FACTS", "MANIFEST", "TEXTS", "Fact", "Found", "Garbage", "Wanted", "read", "script"]

_MARK = "@@bmk"
_ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class Garbage(ValueError):
    """The answer is not what the script prints."""


def script(wanted: Wanted, facts: Iterable[Fact] = FACTS) -> str:
    """One program for `sh -s` that prints all facts. It writes nothing, and yields to the host's own work."""
    parts = ["export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "exec 2>/dev/null"]
    parts += ["renice -n 10 -p $$ >/dev/null", f"echo '{_MARK} begin'"]
    for fact in facts:
        command = fact.command(wanted)
        if command:
            parts += [f"echo '{_MARK} {fact.name}'", f"{{ {command}\n}} </dev/null", "echo"]
    return "\n".join([*parts, f"echo '{_MARK} end'", ""])


def read(lines: Sequence[str], facts: Iterable[Fact] = FACTS) -> dict[str, Found]:
    """What the script printed, by fact. Raises Garbage when it is something else, or only a part of it."""
    begin, end = f"{_MARK} begin", f"{_MARK} end"
    if begin not in lines or end not in lines:
        said = next((line.strip() for line in lines if line.strip()), "nothing")
        raise Garbage(f"it said: {said[:80]!r}")
    parsers = {fact.name: fact for fact in facts}
    found: dict[str, Found] = {}
    for name, part in _parts(lines[lines.index(begin) + 1 : lines.index(end)]):
        try:
            found[name] = parsers[name].parse(part)
        except _ODD as error:  # the host chose it, so it may be anything
            raise Garbage(f"{name}: {error}") from error
    return found


def _parts(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    parts: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith(f"{_MARK} "):
            parts.append((line.removeprefix(f"{_MARK} "), []))
        elif parts:
            parts[-1][1].append(line)
    return [(name, said[:-1] if said and not said[-1] else said) for name, said in parts]
