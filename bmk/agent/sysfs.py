"""Who this machine is, from the kernel's own files: no udev, no dmidecode, no lsblk."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bmk.agent.model import SECTOR, Disk, DiskContent, MachineFacts
from bmk.agent.probe import findings
from bmk.disks import plain_wwn, same_drive
from bmk.identity import serials

_SIOCETHTOOL, _GPERMADDR = 0x8946, 0x00000020
_UNIT = 512  # bytes: what `size` counts, whatever the disk's own sectors are
# Drives without room for a system: optical, floppy, memory, a chip's own; and the areas of an eMMC beside its disk.
_OTHER = re.compile(r"(sr|fd|mtdblock|pmem)\d|mmcblk\d+(boot\d+|rpmb|gp\d+)$")
Look = Callable[[str, list[str]], tuple[DiskContent, ...]]


def machine_facts(sys: Path = Path("/sys")) -> MachineFacts:
    """Identity and disks of the machine this runs on."""
    firmware = "uefi" if (sys / "firmware/efi").exists() else "bios"
    uuid, serial = _dmi(sys, "product_uuid"), _dmi(sys, "product_serial")
    return MachineFacts(uuid.lower() if uuid else None, serial, permanent_macs(sys), disks(sys), firmware)


def permanent_macs(sys: Path) -> tuple[str, ...]:
    """Of all NICs that are hardware."""
    names = [path.name for path in sorted((sys / "class/net").iterdir()) if (path / "device").exists()]
    return tuple(_permanent(name) or _text(sys / "class/net" / name / "address") for name in names)


def disks(sys: Path, look: Look = findings) -> tuple[Disk, ...]:
    """All drives that are hardware and stay when the operator leaves; one with several ways to it counts once, by the
    first. `look` tells what a disk and its partitions hold.
    """
    found: list[Disk] = []
    for path in sorted((sys / "block").iterdir()):
        disk = _disk(path) if _is_drive(path) else None
        if disk is not None and not any(same_drive(disk, other) for other in found):
            found.append(replace(disk, findings=look(disk.path, _partitions(path))))
    return tuple(found)


def _is_drive(path: Path) -> bool:
    """Not: removable media, virtual ones of the BMC, paths of NVMe that the kernel hides behind a disk of theirs."""
    there = (path / "device").exists() and _text(path / "size") not in ("", "0")
    return there and "1" not in (_text(path / "removable"), _text(path / "hidden")) and not _OTHER.match(path.name)


def _disk(path: Path) -> Disk:
    return Disk(
        name=path.name, path=f"/dev/{path.name}", size=int(_text(path / "size")) * _UNIT, serial=_serial(path),
        wwn=_wwn(path), model=_text(path / "device/model") or None, rotational=_rotational(path),
        sector=int(_text(path / "queue/logical_block_size") or SECTOR),
    )  # fmt: skip


def _partitions(path: Path) -> list[str]:
    names = (part.name for part in path.iterdir() if (part / "partition").exists())
    return [f"/dev/{name}" for name in sorted(names, key=lambda name: (len(name), name))]


def _rotational(path: Path) -> bool:
    """virtio disks say 1 because nobody told them."""
    return _text(path / "queue/rotational") == "1" and not path.name.startswith("vd")


def _serial(path: Path) -> str | None:
    """virtio and NVMe have a file; SCSI and ATA have vital product data page 0x80."""
    plain = _text(path / "serial") or _text(path / "device/serial")
    return plain or _page80(path / "device/vpd_pg80") or None


def _page80(path: Path) -> str:
    try:
        page = path.read_bytes()
    except OSError:
        return ""
    return page[4 : 4 + int.from_bytes(page[2:4], "big")].decode(errors="replace").strip(" \0")


def _wwn(path: Path) -> str | None:
    """As lsblk says it. SCSI vendors' T10 strings are no WWNs."""
    said = _text(path / "wwid") or _text(path / "device/wwid")
    if said.startswith("naa."):
        return f"0x{plain_wwn(said)}"
    return said if said.startswith(("eui.", "nvme.", "uuid.")) else None


def _dmi(sys: Path, name: str) -> str | None:
    said = _text(sys / "class/dmi/id" / name)
    return said if serials(said) else None


def _permanent(nic: str) -> str | None:
    """The address in the hardware, whatever the driver was told to use."""
    data = array("B", struct.pack("II32s", _GPERMADDR, 32, b""))  # an array tells its address, which the kernel wants
    request = struct.pack("16sP", nic.encode(), data.buffer_info()[0])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            fcntl.ioctl(channel, _SIOCETHTOOL, request)
    except OSError:
        return None
    size = struct.unpack_from("I", data, 4)[0]
    address = bytes(data[8 : 8 + size])
    return address.hex(":") if any(address) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip(" \0\n")
    except OSError:
        return ""
