"""Packages of dpkg with their versions, and which of them are held."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns


def command(_: Wanted) -> str:
    return r"dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\n'"


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        status, name, version = columns(line, 3)
        if status[1:2] == "i":
            found[name] = {"installed": True, "version": version, "held": status[0] == "h"}
    return found


FACT = Fact("packages", command, parse)
