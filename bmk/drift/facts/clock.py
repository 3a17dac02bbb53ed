"""The clock: the host's own time, and whether somebody keeps it right."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, pairs


def command(_: Wanted) -> str:
    return 'echo "now=$(date +%s)"; timedatectl show --property NTPSynchronized'


def parse(lines: Sequence[str]) -> Found:
    said = pairs(lines)
    return {"time": {"now": int(said["now"])}, "sync": {"synchronised": said.get("NTPSynchronized") == "yes"}}


FACT = Fact("clock", command, parse)
