"""Who listens for others on TCP; loopback is the host's own affair."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted

_LOOPBACK = ("127.", "[::1]", "::1", "[::ffff:127.")


def command(_: Wanted) -> str:
    return "ss -Hltnp"


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        parts = line.split()
        if len(parts) < 5 or parts[0] != "LISTEN":
            raise ValueError(f"not a listener: {line[:80]!r}")
        if not parts[3].startswith(_LOOPBACK):
            process = parts[5].partition('(("')[2].partition('"')[0] if len(parts) > 5 else ""
            # without the address: one that moves between hosts would look like a new listener
            found[f"tcp {parts[3].rpartition(':')[2]} {process}".rstrip()] = {"process": process}
    return found


FACT = Fact("listeners", command, parse)
