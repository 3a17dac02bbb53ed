"""What a disk holds, told without changing it: signatures by blkid, and a look into file systems mounted read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from bmk.agent.errors import AgentError
from bmk.agent.model import DiskContent
from bmk.agent.partitions import MARKER
from bmk.agent.programs import output, run
from bmk.agent.tree import describe_tree

# Signature -> what people call it. All of these are somebody's data.
_FOREIGN = {
    "LVM2_member": "LVM physical volume", "LVM1_member": "LVM physical volume", "linux_raid_member": "md RAID member",
    "zfs_member": "ZFS pool member", "ceph_bluestore": "Ceph OSD", "crypto_LUKS": "encrypted volume",
    "bcache": "bcache device", "drbd": "DRBD device", "VMFS_volume_member": "VMware datastore",
    "ddf_raid_member": "hardware RAID member", "isw_raid_member": "hardware RAID member", "btrfs": "btrfs file system",
}  # fmt: skip
_LOOK = {"ext2": "noload", "ext3": "noload", "ext4": "noload", "xfs": "norecovery", "vfat": "", "btrfs": ""}
_HARMLESS = {"swap": "swap", "swsuspend": "swap"}
_SEVERAL = 8  # blkid's exit code: signatures of several kinds
_PATIENCE = 60.0  # seconds for one file system, and for one program that looks at it


def parse_blkid(text: str) -> dict[str, str]:
    """`blkid -p -o export`: key=value lines."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def findings(disk: str, partitions: list[str]) -> tuple[DiskContent, ...]:
    """What the disk and its partitions hold."""
    whole = _blkid(disk)
    parts = [(path, _blkid(path)) for path in partitions]
    if any(tags.get("PART_ENTRY_NAME") == MARKER for _, tags in parts):
        # It was wiped with consent; what is left of old signatures means nothing.
        return (DiskContent(disk, "an unfinished bmk installation", foreign=False),)
    found = [one for path, tags in [(disk, whole), *parts] for one in judge(path, tags, _look)]
    if whole.get("PTTYPE") and not any(tags.get("TYPE") for _, tags in parts):
        found.append(DiskContent(disk, f"{whole['PTTYPE']} partition table", foreign=False))
    return tuple(found)


def judge(path: str, tags: Mapping[str, str], look: object) -> Iterator[DiskContent]:
    """Findings of one device. `look(path, kind)` tells what a file system holds, or None when it cannot be mounted."""
    kind = tags.get("TYPE")
    if tags.get("AMBIVALENT"):
        yield DiskContent(path, "signatures of several kinds", foreign=True)
    elif kind in _HARMLESS:
        yield DiskContent(path, _HARMLESS[kind], foreign=False)
    elif kind in _LOOK and callable(look):
        inside = look(path, kind)
        yield inside if inside else DiskContent(path, f"{kind} file system that cannot be read", foreign=True)
    elif kind:
        yield DiskContent(path, _FOREIGN.get(kind, kind), foreign=True)


def _look(path: str, kind: str) -> DiskContent | None:
    """What is in a file system; a disk that keeps the kernel waiting is said to, and does not end the installation."""
    found: list[DiskContent | None] = []
    looking = Thread(target=lambda: found.append(_inside(path, kind)), daemon=True)
    looking.start()
    looking.join(2 * _PATIENCE)
    return found[0] if found else DiskContent(path, f"{kind} file system that cannot be read in time", foreign=True)


def _inside(path: str, kind: str) -> DiskContent | None:
    options = ",".join(["ro", "nodev", "nosuid", "noexec", *filter(None, [_LOOK[kind]])])
    try:
        ours = _blkid(path).get("PART_ENTRY_NAME") == "bmk-root"
        with mounted(path, kind, options) as root:
            return describe_tree(path, kind, root, ours=ours)
    except (AgentError, OSError, subprocess.SubprocessError):
        return None


@contextmanager
def mounted(device: str, kind: str, options: str) -> Iterator[Path]:
    """A file system's root. OSError when it cannot be mounted."""
    with TemporaryDirectory(prefix="bmk-") as place:
        done = run("mount", "-t", kind, "-o", options, device, place, timeout=_PATIENCE)
        if done.code != 0:
            raise OSError(done.reason)
        try:
            yield Path(place)
        finally:
            output("umount", place)


def _blkid(path: str) -> dict[str, str]:
    done = run("blkid", "-p", "-o", "export", path)
    return {"AMBIVALENT": "1"} if done.code == _SEVERAL else parse_blkid(done.out)
