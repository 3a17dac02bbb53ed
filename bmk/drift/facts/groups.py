"""Groups with their numbers and members."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted


def command(_: Wanted) -> str:
    return "getent group"


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        name, _, gid, members = line.split(":")
        found[name] = {"gid": int(gid), "members": ",".join(sorted(filter(None, members.split(","))))}
    return found


FACT = Fact("groups", command, parse)
