"""The node image's root, unpacked once for all system containers; each machine lays its own disk over it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from bmk.artifacts.mirror import load_mirror
from bmk.errors import PreflightRefused
from bmk.paths import cache_dir

ARTIFACT = "node-rootfs"


def base_root() -> Path:
    """The unpacked root of the mirror's node root, checked against its digest when it is unpacked (once, a few
    seconds).

    BMK_LAB_ROOTFS names another root, to try one by hand.
    """
    if by_hand := os.environ.get("BMK_LAB_ROOTFS"):
        return Path(by_hand)
    artifact = load_mirror().file(ARTIFACT)
    target = cache_dir() / "rootfs" / artifact.sha256[:16]
    if not target.is_dir():
        artifact.check()
        _unpack(artifact.local, target)
    return target


def _unpack(archive: Path, target: Path) -> None:
    """Whole or not at all: a killed unpacking leaves only `<target>.new`, which the next one replaces."""
    target.parent.mkdir(parents=True, exist_ok=True)
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
                hint="bmk lab up needs root",
            )
        fresh.rename(target)
