"""The label of the fault `disk-lvm`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bmk.errors import PreflightRefused
from bmk.lab.machines import signature

BLANK = bytes(4 * 2**20)  # below 1.44 MB blkid takes a disk for a floppy and looks for less


def test_blkid_takes_it_for_lvm(tmp_path: Path) -> None:
    """The label is a real one: blkid, which checks its checksum, calls the disk an LVM member."""
    disk = tmp_path / "disk"
    disk.write_bytes(BLANK)
    signature.write(disk)
    blkid = shutil.which("blkid") or "/sbin/blkid"
    seen = subprocess.run([blkid, "-p", "-o", "value", "-s", "TYPE", disk], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "LVM2_member"


def test_erasing_leaves_a_blank_disk(tmp_path: Path) -> None:
    """After the fault is healed the disk is as blank as before."""
    disk = tmp_path / "disk"
    disk.write_bytes(BLANK)
    signature.write(disk)
    signature.erase(disk)
    assert disk.read_bytes() == BLANK


def test_an_installed_disk_is_not_overwritten(tmp_path: Path) -> None:
    """A fault never destroys what an installation wrote."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"GRUB" + BLANK)
    with pytest.raises(PreflightRefused, match="not blank"):
        signature.write(disk)
    assert disk.read_bytes().startswith(b"GRUB")


def test_writing_twice_is_fine(tmp_path: Path) -> None:
    """The fault may be set again."""
    disk = tmp_path / "disk"
    disk.write_bytes(BLANK)
    signature.write(disk)
    signature.write(disk)
