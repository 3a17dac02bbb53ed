"""What keeps a host from being worked on: no Python, no space or no inodes where a converge writes."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, pairs, words

_WRITTEN = ("/", "/etc", "/usr/local", "/var/lib/bmk")  # where a converge has to be able to write


def command(_: Wanted) -> str:
    return (
        "command -v python3 >/dev/null && echo python=yes || echo python=no; "
        f"df --output=target,avail,itotal,iavail {words(_WRITTEN)} | tail -n +2 | sed 's/^/disk=/'; "
        'echo "boot=$(cat /proc/sys/kernel/random/boot_id)"'
    )


def parse(lines: Sequence[str]) -> Found:
    said = pairs(lines)
    disks = [line.removeprefix("disk=").rsplit(None, 3) for line in lines if line.startswith("disk=")]
    free = [(0 if inodes != "0" and left == "0" else int(kb), at) for at, kb, inodes, left in disks if kb.isdigit()]
    least, at = min(free)
    return {
        "python": {"there": said["python"] == "yes"},
        "disk": {"at": at, "free_kb": least},
        "boot": {"id": said.get("boot", "")},
    }


FACT = Fact("health", command, parse)
