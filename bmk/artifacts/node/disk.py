"""A whole disk as one file, without mounts, loop devices or root: GPT, BIOS boot code, ESP, root file system."""

from __future__ import annotations

import os
import struct
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from bmk.artifacts.node.tree import EPOCH, ImageIdentity, member, run_tool
from bmk.errors import BmkError

MIB = 1 << 20
SECTOR = 512
BIOS_START, ESP_START, ESP_SIZE = 1 * MIB, 2 * MIB, 48 * MIB
ROOT_START = ESP_START + ESP_SIZE
JOURNAL = 64  # MiB; resize2fs does not grow it, and etcd waits for it

_MODULES = ("biosdisk", "part_gpt", "ext2", "normal", "linux", "search", "search_fs_uuid", "serial", "terminal", "echo",
            "test", "configfile", "minicmd", "ls", "cat", "gzio", "reboot", "halt", "sleep")  # fmt: skip
_TYPES = {
    "bios": "21686148-6449-6E6F-744E-656564454649",
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
}
_EFI = {
    "EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
    "EFI/BOOT/mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
    "EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
    "EFI/debian/shimx64.efi": "usr/lib/shim/shimx64.efi.signed",
    "EFI/debian/mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
    "EFI/debian/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """Where things are while a disk is put together."""

    tree: Path
    tools: Path
    work: Path
    identity: ImageIdentity


def make_disk(parts: Parts, target: Path) -> None:
    """Write the raw disk to `target` (sparse). It ends with room for the backup GPT."""
    root = _root_file_system(parts)
    size = ROOT_START + root.stat().st_size + 1 * MIB
    with target.open("wb") as disk:
        disk.truncate(size)
    _partition(target, parts.identity, root.stat().st_size)
    _copy(_esp(parts), target, ESP_START)
    _copy(root, target, ROOT_START)
    _boot_code(parts, target)


def _root_file_system(parts: Parts) -> Path:
    target = parts.work / "root.ext4"
    blocks = _blocks(parts.tree)
    mib = (blocks * 4096 * 21 // 20) // MIB + JOURNAL + 48
    run_tool(
        parts.tools, "usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", 4096, "-m", 1, "-L", "bmk-root",
        "-U", parts.identity.root, "-J", f"size={JOURNAL}", "-O", "metadata_csum_seed",
        # room for the table of a 4 TiB file system, so that it grows while mounted
        "-E", f"hash_seed={parts.identity.root},lazy_itable_init=0,resize={1 << 30}",
        "-d", parts.tree, target, f"{mib}M",
    )  # fmt: skip
    return target


def _blocks(tree: Path) -> int:
    """4 KiB blocks that the files of a tree take."""
    with tarfile.open(tree) as tar:
        return sum(1 + -(-info.size // 4096) for info in tar if info.isreg() or info.isdir())


def _esp(parts: Parts) -> Path:
    target = parts.work / "esp.fat"
    with target.open("wb") as file:
        file.truncate(ESP_SIZE)
    volume = parts.identity.esp.replace("-", "")
    _run("mkfs.vfat", "--invariant", "-F", "32", "-i", volume, "-n", "ESP", target)
    _run("mmd", "-i", target, "::/EFI", "::/EFI/BOOT", "::/EFI/debian")
    redirect = f"search.fs_uuid {parts.identity.root} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
    contents = {name: member(parts.tree, source) for name, source in _EFI.items()}
    for name, data in {**contents, "EFI/debian/grub.cfg": redirect.encode()}.items():
        one = parts.work / "esp-file"
        one.write_bytes(data)
        os.utime(one, (EPOCH, EPOCH))
        _run("mcopy", "-m", "-i", target, one, f"::/{name}")
    return target


def _partition(disk: Path, identity: ImageIdentity, root_size: int) -> None:
    rows = [("bios", "bmk-bios", BIOS_START, MIB), ("esp", "bmk-esp", ESP_START, ESP_SIZE)]
    rows.append(("root", "bmk-root", ROOT_START, root_size))
    script = [f"label: gpt\nlabel-id: {identity.disk}\nunit: sectors\n"]
    for number, (kind, name, start, size) in enumerate(rows, 1):
        part = f"{identity.disk[:-1]}{number}"
        sectors = f"start={start // SECTOR}, size={size // SECTOR}"
        script.append(f'{sectors}, type={_TYPES[kind]}, uuid={part}, name="{name}"\n')
    _run("sfdisk", "--quiet", disk, stdin="".join(script))


def _boot_code(parts: Parts, disk: Path) -> None:
    """What grub-install does for BIOS: boot.img in sector 0 finds core.img in the BIOS boot partition."""
    platform = parts.tools / "usr/lib/grub/i386-pc"
    core = parts.work / "core.img"
    options = ["-O", "i386-pc", "-d", platform, "-p", "(,gpt3)/boot/grub", "-o", core]
    run_tool(parts.tools, "usr/bin/grub-mkimage", *options, *_MODULES)
    image = bytearray(core.read_bytes())
    first = BIOS_START // SECTOR
    sectors = -(-len(image) // SECTOR) - 1
    if len(image) > MIB:
        raise BmkError("GRUB's core image does not fit its partition", why=f"{len(image)} bytes")
    struct.pack_into("<QHH", image, SECTOR - 12, first + 1, sectors, 0x820)  # where the rest of core.img is
    boot = bytearray((platform / "boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, first)  # where core.img starts
    boot[0x66:0x68] = b"\x90\x90"  # as grub-install: take the drive number from the firmware
    with disk.open("r+b") as file:
        table = file.read(SECTOR)
        file.seek(0)
        file.write(bytes(boot[:440]) + table[440:])  # beyond lies the protective partition table
        file.seek(BIOS_START)
        file.write(image)


def _copy(source: Path, disk: Path, offset: int) -> None:
    """Copy what is not zero, so that the file stays sparse."""
    with source.open("rb") as file, disk.open("r+b") as out:
        zero, position = bytes(MIB), offset
        while block := file.read(MIB):
            if block != zero[: len(block)]:
                out.seek(position)
                out.write(block)
            position += len(block)


def _run(*command: object, stdin: str | None = None) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    path = environment.get("PATH", "")
    environment["PATH"] = f"{path}:/usr/sbin:/sbin"  # where Debian keeps mkfs and sfdisk, also for non-root
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise BmkError(f"{words[0]} failed", why=done.stderr.strip()[-300:])
