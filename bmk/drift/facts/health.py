"""What a host needs to be worked on: Python, space, a right clock, its disks and file systems."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bmk.drift.facts.fact import IN_CONTAINER, Fact, Found, attributes, columns, pairs, words
from bmk.drift.kind import Rule

_WRITTEN = ("/", "/etc", "/usr/local", "/var/lib/bmk")  # where a converge has to be able to write


def _parse_health(lines: Sequence[str]) -> Found:
    said = pairs(lines)
    disks = [line.removeprefix("disk=").rsplit(None, 3) for line in lines if line.startswith("disk=")]
    free = [(0 if inodes != "0" and left == "0" else int(kb), at) for at, kb, inodes, left in disks if kb.isdigit()]
    least, at = min(free)
    return {
        "python": {"there": said["python"] == "yes"},
        "disk": {"at": at, "free_kb": least},
        "boot": {"id": said.get("boot", "")},
    }


# Never compared: the collector makes troubles of it.
HEALTH = Fact(
    name="health",
    command=lambda _: (
        "command -v python3 >/dev/null && echo python=yes || echo python=no; "
        f"df --output=target,avail,itotal,iavail {words(_WRITTEN)} | tail -n +2 | sed 's/^/disk=/'; "
        'echo "boot=$(cat /proc/sys/kernel/random/boot_id)"'
    ),
    parse=_parse_health,
)


def _parse_clock(lines: Sequence[str]) -> Found:
    """The host's time, which the collector compares with its own, and whether NTP keeps it."""
    said = pairs(lines)
    return {"time": {"now": int(said["now"])}, "sync": {"synchronised": said.get("NTPSynchronized") == "yes"}}


CLOCK = Fact(
    name="clock",
    command=lambda _: 'echo "now=$(date +%s)"; timedatectl show --property NTPSynchronized',
    parse=_parse_clock,
    baseline=dict,
    may_vanish=True,
    rules=(Rule("*", "*", "degraded"),),
)

_BUILT_IN = (None, "", "ata", "sata", "sas", "nvme", "virtio")  # disks of a network come and go


def _parse_disks(lines: Sequence[str]) -> Found:
    """By serial number, or by WWN without one."""
    said = "\n".join(lines).strip()
    found: Found = {}
    for disk in json.loads(said)["blockdevices"] if said else ():
        name = disk["serial"] or disk["wwn"]
        if disk["type"] == "disk" and disk["tran"] in _BUILT_IN and name:
            found[str(name)] = {"size": int(disk["size"])}
    return found


DISKS = Fact(
    name="disks",
    command=lambda _: f"{IN_CONTAINER} || lsblk --nodeps --bytes --json --output NAME,TYPE,TRAN,SERIAL,WWN,SIZE",
    parse=_parse_disks,
    baseline=attributes("size"),
    next="bmk ssh {dc} {where} lsblk -o NAME,SERIAL,SIZE,STATE",
    rules=(Rule("*", "*", "breaking", "a disk is gone, or another one than it was"),),
)

_FILE_SYSTEMS = ("ext4", "xfs", "btrfs", "vfat")


def _parse_mounts(lines: Sequence[str]) -> Found:
    """File systems of disks, and swap."""
    found: Found = {}
    for line in lines:
        target, kind, options = columns(line, 3)
        if kind == "swap":
            found[f"swap {target}"] = {"type": "swap"}
        elif kind in _FILE_SYSTEMS and not target.startswith(("/var/lib/kubelet/", "/run/", "/var/lib/containerd/")):
            found[target] = {"filesystem": kind, "read_only": "ro" in options.split(",")}
    return found


MOUNTS = Fact(
    name="mounts",
    command=lambda _: (
        "awk -v OFS='\\t' '{print $2, $3, $4}' /proc/mounts; "
        "tail -n +2 /proc/swaps | awk -v OFS='\\t' '{print $1, \"swap\", \"-\"}'"
    ),
    parse=_parse_mounts,
    baseline=attributes("filesystem", "read_only", "type"),
    closed=("swap *",),
    rules=(
        Rule("swap *", "*", "breaking", "the kubelet refuses to start with swap"),
        Rule("*", "read_only", "breaking"),
        Rule("*", "*", "degraded"),
    ),
)
