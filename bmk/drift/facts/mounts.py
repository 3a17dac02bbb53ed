"""File systems of disks: where, of what type, writable."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns

_DISKS = ("ext4", "xfs", "btrfs", "vfat")


def command(_: Wanted) -> str:
    return (
        "awk -v OFS='\\t' '{print $2, $3, $4}' /proc/mounts; "
        "tail -n +2 /proc/swaps | awk -v OFS='\\t' '{print $1, \"swap\", \"-\"}'"
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        target, kind, options = columns(line, 3)
        if kind == "swap":
            found[f"swap {target}"] = {"type": "swap"}
        elif kind in _DISKS and not target.startswith(("/var/lib/kubelet/", "/run/", "/var/lib/containerd/")):
            found[target] = {"filesystem": kind, "read_only": "ro" in options.split(",")}
    return found


FACT = Fact("mounts", command, parse)
