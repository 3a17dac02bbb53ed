"""The installed disk's own identity: a table over the whole disk, new UUIDs, and the three files that name them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path

from bmk.agent.errors import AgentError

ESP, ROOT = 2, 3  # partition numbers of a node image
MARKER = "bmk-installing"  # name of the partition that an unfinished disk shows
NAMING = ("etc/fstab", "boot/grub/grub.cfg", "boot/efi/EFI/debian/grub.cfg")


def partition(disk: str, number: int) -> str:
    """Device of a partition: sda2, nvme0n1p2."""
    return f"{disk}p{number}" if disk[-1].isdigit() else f"{disk}{number}"


def grown(dump: str, fresh: Callable[[], str] = lambda: str(uuid.uuid4())) -> str:
    """sfdisk's dump of an image's table -> a script with new UUIDs whose root takes the rest of the disk. Pure.

    Two disks written from one image must not be mistaken for each other by whoever looks for a UUID.
    """
    lines: list[str] = []
    last = -1
    for line in dump.splitlines():
        if line.startswith(("last-lba:", "first-lba:", "device:")):
            continue
        if " start=" in line:
            last = len(lines)
            lines.append(re.sub(r"uuid=[0-9A-Fa-f-]+", lambda _: f"uuid={fresh()}", line.partition(" : ")[2]))
        else:
            lines.append(f"label-id: {fresh()}" if line.startswith("label-id:") else line)
    if last < 0:
        raise AgentError("the written image has no partitions", hint="bmk artifacts build")
    lines[last] = re.sub(r"size=\s*\d+,\s*", "", lines[last])
    return "\n".join(lines) + "\n"


def rename(root: Path, old: str, new: str) -> None:
    """Have fstab and the boot loader look for the file system's new UUID."""
    for name in NAMING:
        path = root / name
        text = path.read_bytes()
        if old.encode() not in text:
            raise AgentError(f"/{name} of the image does not name its root file system", why=f"no {old} in it")
        path.write_bytes(text.replace(old.encode(), new.encode()))
