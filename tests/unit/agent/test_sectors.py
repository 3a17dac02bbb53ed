"""An image for sectors of 512 bytes on a disk with sectors of 4096."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bmk.agent.errors import AgentError
from bmk.agent.model import Disk
from bmk.agent.policy import check_sectors
from bmk.agent.sectors import table_for

MIB = 1 << 20
SIZE = 64 * MIB
SCRIPT = """label: gpt
first-lba: 34
label-id: 79DB6138-6F5C-5290-A62C-B862F24560F6
start={bios}, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bmk-bios
start=4096, size=98304, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=bmk-esp
"""
DISK = Disk("sda", "/dev/sda", SIZE, "S1", sector=4096)


def image(place: Path, bios: int = 2048) -> bytes:
    """The first MiB of a node image, with boot code."""
    raw = place / "raw"
    with raw.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["sfdisk", "--quiet", raw], input=SCRIPT.format(bios=bios), text=True, check=True)
    first = bytearray(raw.read_bytes()[:MIB])
    first[:440] = b"\xeb" * 440
    return bytes(first)


def test_the_table_is_the_same_for_larger_sectors(tmp_path: Path) -> None:
    """fdisk, told of 4096 bytes, finds the same partitions at the same bytes, with the same names and identity."""
    first = image(tmp_path)
    disk = tmp_path / "disk"
    disk.write_bytes(table_for(first, 4096, SIZE))
    with disk.open("r+b") as file:
        file.truncate(SIZE)
    command = ["fdisk", "-b", "4096", "-o", "Start,End,Name,Type-UUID", "-l", disk]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "79DB6138-6F5C-5290-A62C-B862F24560F6" in said
    assert re.findall(r"^ *(\d+) +(\d+) (\S+) +(\S+)$", said, re.MULTILINE) == [
        ("256", "511", "bmk-bios", "21686148-6449-6E6F-744E-656564454649"),
        ("512", "12799", "bmk-esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
    ]
    made = disk.read_bytes()
    assert made[:440] == first[:440]
    assert struct.unpack_from("<II", made, 454) == (1, SIZE // 4096 - 1)  # what the MBR protects, and where it ends


def test_a_disk_as_the_image_wants_it_gets_its_very_bytes(tmp_path: Path) -> None:
    """Nothing is translated where sectors have 512 bytes."""
    first = image(tmp_path)
    assert table_for(first, 512, SIZE) is first


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A partition in the middle of a sector, and bytes that hold no table."""
    with pytest.raises(AgentError, match="partition 1 of the image does not fit sectors of 4096 bytes"):
        table_for(image(tmp_path, bios=2044), 4096, SIZE)
    with pytest.raises(AgentError, match="no partitions"):
        table_for(bytes(MIB), 4096, SIZE)


@pytest.mark.parametrize(
    ("sector", "firmware", "boots"),
    [(512, "bios", True), (512, "uefi", True), (4096, "uefi", True), (4096, "bios", False), (8192, "uefi", False)],
)
def test_what_could_not_boot_is_not_wiped(sector: int, firmware: str, boots: bool) -> None:
    """BIOS and larger sectors, or sectors that nobody tried: refused with what to change, before a byte is written."""
    disk = replace(DISK, sector=sector)
    if boots:
        check_sectors(disk, firmware)
        return
    with pytest.raises(AgentError, match=f"disk S1 has sectors of {sector} bytes") as refused:
        check_sectors(disk, firmware)
    assert refused.value.code == "sectors"
    assert refused.value.hint
