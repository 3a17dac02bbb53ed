"""The node image's root, unpacked once for all system containers; each mounts its own disk over it (overlayfs).

A root that no process uses any more is removed when the next one is unpacked: each is more than a gigabyte.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from bmk.artifacts.mirror import load_mirror
from bmk.errors import PreflightRefused
from bmk.paths import cache_dir

ARTIFACT = "node-rootfs"
_NAME = re.compile("[0-9a-f]{16}")
_IN_USE: dict[Path, TextIO] = {}  # shared locks, kept as long as the process lives


def base_root() -> Path:
    """The mirror's node root, unpacked once (a few seconds) and checked against its digest then.

    BMK_LAB_ROOTFS names another root, to try one by hand.
    """
    if by_hand := os.environ.get("BMK_LAB_ROOTFS"):
        return Path(by_hand)
    artifact = load_mirror().file(ARTIFACT)
    target = cache_dir() / "rootfs" / artifact.sha256[:16]
    _use(target)
    if not target.is_dir():
        artifact.check()
        _unpack(artifact.local, target)
        _prune(target)
    return target


def _use(root: Path) -> None:
    """Mark it as in use (a shared lock) until this process ends."""
    if root not in _IN_USE:
        root.parent.mkdir(parents=True, exist_ok=True)
        _IN_USE[root] = root.with_suffix(".used").open("w")
        fcntl.flock(_IN_USE[root], fcntl.LOCK_SH)


def _prune(newest: Path) -> None:
    """Remove the other roots of this place that nobody uses."""
    for root in newest.parent.iterdir():
        if root != newest and root not in _IN_USE and _NAME.fullmatch(root.name):
            with root.with_suffix(".used").open("w") as used, suppress(BlockingIOError):
                fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
                subprocess.run(["rm", "-rf", "--one-file-system", "--", str(root)], check=True)


def _unpack(archive: Path, target: Path) -> None:
    """Whole or not at all: a killed unpacking leaves only `<target>.new`, which the next one replaces."""
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return  # another machine's installation did it meanwhile
        fresh = target.with_suffix(".new")
        subprocess.run(["rm", "-rf", "--", str(fresh)], check=True)
        fresh.mkdir()
        options = ["--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", str(fresh)]
        done = subprocess.run(["tar", "-xpf", str(archive), *options], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise PreflightRefused(
                "the node root cannot be unpacked",
                where=str(archive),
                why=done.stderr.strip()[-500:],
                hint="the same command with sudo",
            )
        fresh.rename(target)
