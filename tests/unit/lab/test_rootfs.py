"""Unpacked roots: one is kept, those in use as well."""

from __future__ import annotations

import fcntl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.lab.host import rootfs


@dataclass(frozen=True)
class Artifact:
    local: Path
    sha256: str

    def check(self) -> None: ...


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where roots are unpacked; the mirror has one archive."""
    (tmp_path / "tree/etc").mkdir(parents=True)
    archive = tmp_path / "root.tar.zst"
    subprocess.run(["tar", "--zstd", "-cf", archive, "-C", tmp_path / "tree", "."], check=True)
    mirror = type("Mirror", (), {"file": lambda _self, _name: Artifact(archive, "c" * 64)})
    monkeypatch.setattr(rootfs, "load_mirror", mirror)
    monkeypatch.setattr(rootfs, "_IN_USE", {})
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path))
    return tmp_path / "rootfs"


def test_a_root_that_nobody_uses_goes_when_another_comes(place: Path) -> None:
    """The old root is removed; one that a running lab uses stays, and so does what is not a root of the lab."""
    old, used, other = place / ("a" * 16), place / ("b" * 16), place / "boot-server"
    for root in (old, used, other):
        root.mkdir(parents=True)
    with used.with_suffix(".used").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        newest = rootfs.base_root()
    assert sorted(p for p in place.iterdir() if p.is_dir()) == sorted([used, other, newest])


def test_a_root_is_in_use_by_whoever_asked_for_it(place: Path) -> None:
    """From the answer on nobody else can take it for a left one."""
    newest = rootfs.base_root()
    with newest.with_suffix(".used").open("w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
