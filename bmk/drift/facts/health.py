"""What keeps a host from being worked on: no Python, no space, a root that cannot be written."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, pairs


def command(_: Wanted) -> str:
    return (
        "command -v python3 >/dev/null && echo python=yes || echo python=no; "
        'df -P / | awk \'NR==2{print "used="$5; print "free="$4}\'; '
        'echo "boot=$(cat /proc/sys/kernel/random/boot_id)"'
    )


def parse(lines: Sequence[str]) -> Found:
    said = pairs(lines)
    return {
        "python": {"there": said["python"] == "yes"},
        "root": {"free_kb": int(said["free"])},
        "boot": {"id": said.get("boot", "")},
    }


FACT = Fact("health", command, parse)
