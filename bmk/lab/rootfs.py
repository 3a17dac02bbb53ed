"""The node image's root, unpacked once for all system containers; each machine lays its own disk over it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bmk.errors import PreflightRefused
from bmk.paths import cache_dir


def base_root() -> Path:
    """The unpacked root.

    BMK_LAB_ROOTFS names another one (to try a root by hand). Slow the first time (unpacks 0.5 GB).
    """
    if by_hand := os.environ.get("BMK_LAB_ROOTFS"):
        return Path(by_hand)
    ready = cache_dir() / "rootfs" / "trixie"
    if not (ready / "usr/lib/systemd/systemd").exists():
        raise PreflightRefused(
            "there is no node root for system containers", where=str(ready), hint="bmk artifacts build node-rootfs"
        )
    return ready


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a .tar.zst as root, atomically:

    a killed unpacking leaves only `<target>.new`, which the next one replaces.
    """
    if target.is_dir():
        return target
    fresh = target.with_name(target.name + ".new")
    subprocess.run(["rm", "-rf", "--", str(fresh)], check=True)
    fresh.mkdir(parents=True)
    command = [
        "tar",
        "--zstd",
        "-xpf",
        str(archive),
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "-C",
        str(fresh),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise PreflightRefused("the node root cannot be unpacked", where=str(archive), why=done.stderr.strip()[-500:])
    fresh.rename(target)
    return target
