"""Who this machine is, from the kernel's own files: no udev, no dmidecode, no lsblk."""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array
from pathlib import Path

from bmk.boot.agent.model import Disk, Facts
from bmk.boot.agent.probe import findings
from bmk.disks import plain_wwn

_SIOCETHTOOL, _GPERMADDR = 0x8946, 0x00000020
_SECTOR = 512
_NONE = frozenset(("", "none", "not specified", "to be filled by o.e.m.", "default string", "unknown"))


def machine_facts(sys: Path = Path("/sys")) -> Facts:
    """Identity and disks of the machine this runs on."""
    firmware = "uefi" if (sys / "firmware/efi").exists() else "bios"
    uuid, serial = _dmi(sys, "product_uuid"), _dmi(sys, "product_serial")
    return Facts(uuid.lower() if uuid else None, serial, permanent_macs(sys), disks(sys), firmware)


def permanent_macs(sys: Path) -> tuple[str, ...]:
    """Of all NICs that are hardware."""
    names = [path.name for path in sorted((sys / "class/net").iterdir()) if (path / "device").exists()]
    return tuple(_permanent(name) or _text(sys / "class/net" / name / "address") for name in names)


def disks(sys: Path) -> tuple[Disk, ...]:
    """All disks that are hardware and stay when the operator leaves: no removable media, no virtual ones of the BMC."""
    found = []
    for path in sorted((sys / "block").iterdir()):
        real = (
            (path / "device").exists() and _text(path / "removable") != "1" and not path.name.startswith(("sr", "fd"))
        )
        size = int(_text(path / "size") or 0) * _SECTOR
        if real and size:
            found.append(_disk(path, size))
    return tuple(found)


def _disk(path: Path, size: int) -> Disk:
    device = f"/dev/{path.name}"
    parts = sorted((p.name for p in path.iterdir() if (p / "partition").exists()), key=lambda name: (len(name), name))
    return Disk(
        name=path.name, path=device, size=size, serial=_serial(path), wwn=_wwn(path),
        model=_text(path / "device/model") or None, rotational=_rotational(path),
        findings=findings(device, [f"/dev/{part}" for part in parts]),
    )  # fmt: skip


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
    return said if said.startswith("eui.") else None


def _dmi(sys: Path, name: str) -> str | None:
    said = _text(sys / "class/dmi/id" / name)
    return None if said.lower() in _NONE else said


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
