"""Virtual machines on the network of a real boot server, with a disk that says over the serial line that it booted."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.boot.conftest import Boot, boot

__all__ = ["boot", "start_machine"]

BANNER = b"BOOTED FROM DISK\r\n\0"
FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE.fd"), Path("/usr/share/OVMF/OVMF_VARS.fd")


def bios_disk(path: Path) -> None:
    """A disk whose boot sector writes the banner to the first serial port and stops."""
    code = bytes.fromhex("31c0 8ed8 be147c baf803 ac 84c0 7403 ee ebf8 ebfe") + BANNER
    path.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))


def uefi_disk(path: Path) -> None:
    """A FAT disk with an EFI program in the removable-media place that does the same."""
    program = path.with_suffix(".efi")
    program.write_bytes(_efi_program())
    subprocess.run(["mformat", "-C", "-i", str(path), "-f", "2880", "::"], check=True)
    subprocess.run(["mmd", "-i", str(path), "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", str(path), str(program), "::/EFI/BOOT/BOOTX64.EFI"], check=True)


def _efi_program() -> bytes:
    """The smallest PE32+ image that EDK2 loads: one section at 0x1000."""
    code = bytes.fromhex("488d350e000000 66baf803 ac 84c0 7403 ee ebf8 ebfe") + BANNER
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, 0x200, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHH", 0, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x2000, 0x200, 0, 10, 0)
    optional += struct.pack("<QQQQII", 0x1000, 0x1000, 0x1000, 0x1000, 0, 16) + bytes(128)
    section = b".text".ljust(8, b"\0") + struct.pack("<IIIIIIHHI", 0x200, 0x1000, 0x200, 0x200, 0, 0, 0, 0, 0xE0000020)
    return (dos + coff + optional + section).ljust(0x200, b"\0") + code.ljust(0x200, b"\0")


@pytest.fixture
def start_machine(boot: Boot) -> Callable[..., Path]:
    """Start a virtual machine that boots from its network first; returns the file its serial line is written to."""

    def start(mac: str, firmware: str, nic: str, serial_number: str = "") -> Path:
        disk, console = boot.state / "disk.img", boot.state / "console.txt"
        argv = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "512", "-display", "none", "-no-reboot"]
        argv += ["-serial", f"file:{console}", "-smbios", f"type=1,serial={serial_number}"]
        if firmware == "uefi":
            # Its attempts over IPv6 only wait.
            argv += ["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]
            uefi_disk(disk)
            variables = boot.state / "vars.fd"
            variables.write_bytes(FIRMWARE[1].read_bytes())
            argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE[0]}"]
            argv += ["-drive", f"if=pflash,format=raw,file={variables}"]
        else:
            bios_disk(disk)
        argv += [
            "-drive",
            f"if=none,id=disk,format=raw,file={disk}",
            "-device",
            "virtio-blk-pci,drive=disk,bootindex=2",
        ]
        boot.room.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        boot.room.run("ip", "link", "set", "tap0", "master", "bmk0", "up")
        argv += ["-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"]
        argv += ["-device", f"{nic},netdev=net,mac={mac},bootindex=1"]
        boot.room.start(*argv, log=boot.state / "qemu.log")
        return console

    return start
