"""A real machine, from within the install ramdisk."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from bmk.agent.boot_order import FALLBACK, boot_first
from bmk.agent.configure import HostFile, host_files, make_keys, write_files
from bmk.agent.errors import AgentError
from bmk.agent.hardware import Tell, one_line
from bmk.agent.model import SECTOR, BootOrder, Disk, ImageSource, InstallSpec, MachineFacts, Written
from bmk.agent.nonces import left
from bmk.agent.partitions import ESP, ROOT, grown, partition, rename
from bmk.agent.probe import mounted, parse_blkid
from bmk.agent.programs import output, run
from bmk.agent.sectors import remake_esp
from bmk.agent.stream import write_image
from bmk.agent.sysfs import machine_facts
from bmk.agent.tpm.commands import Exchange, opened

_BOOT_CODE = 440  # bytes before the partition table in sector 0


class LinuxHardware:
    """Implements `Hardware` with the kernel, sfdisk, resize2fs and efibootmgr."""

    def facts(self) -> MachineFacts:
        return machine_facts()

    def nonces(self, expected: str) -> dict[str, bytes]:
        return left(expected)

    def tpm(self) -> AbstractContextManager[Exchange]:
        return opened()

    def open_for_a_look(self, spec: InstallSpec) -> None:
        """sshd of the ramdisk: the deployer's key only, and host keys that die with it."""
        write_files(Path("/"), {"root/.ssh/authorized_keys": HostFile("\n".join(spec.authorized_keys) + "\n", 0o600)})
        run("dropbear", "-R", "-s", "-g", "-p", "22")

    def write(self, disk: Disk, image: ImageSource, tell: Tell) -> Written:
        return write_image(disk, image, tell)

    def configure(self, disk: Disk, spec: InstallSpec) -> list[str]:
        try:
            self._take_whole_disk(disk.path)
            if disk.sector != SECTOR:
                remake_esp(partition(disk.path, ESP), disk.sector)
            root = partition(disk.path, ROOT)
            old, new = parse_blkid(output("blkid", "-p", "-o", "export", root))["UUID"], str(uuid.uuid4())
            output("tune2fs", "-U", new, root)
            with _installed(disk.path) as tree:
                output("resize2fs", root)
                rename(tree, old, new)
                write_files(tree, host_files(spec))
                return make_keys(tree, spec.hostname, ["chroot", str(tree), "ssh-keygen"], "")
        except OSError as error:
            raise AgentError(f"the written system on {disk.path} cannot be changed", why=str(error)) from None

    def boot_from(self, disk: Disk) -> BootOrder:
        """BIOS has no order that a system could set: the boot service answers "local disk" from now on."""
        if not Path("/sys/firmware/efi/efivars").is_dir() or not any(Path("/sys/firmware/efi/efivars").iterdir()):
            return BootOrder()
        made = boot_first(disk.path, ESP)
        if made.problem and not _has_fallback(disk.path):
            raise AgentError(
                "the firmware did not take the boot order", why=f"{made.problem}; and the disk has no {FALLBACK}",
                hint="set the disk first in the BMC or firmware setup, and report the model", code="firmware",
            )  # fmt: skip
        return made

    def restart(self, disk: Disk, how: str) -> None:
        if how == "kexec":
            with suppress(AgentError, OSError):
                self._load_kernel(disk)
                os.sync()
                output("kexec", "-e")
        os.sync()
        run("reboot", "-f")

    def say(self, text: str) -> None:
        for line in Path("/proc/consoles").read_text(errors="replace").splitlines():
            with suppress(OSError):
                Path("/dev", line.split()[0]).write_text(one_line(text))

    def _take_whole_disk(self, device: str) -> None:
        with Path(device).open("rb") as file:
            boot_code = file.read(_BOOT_CODE)
        script = grown(output("sfdisk", "--dump", device))
        output("sfdisk", "--quiet", "--wipe", "never", "--wipe-partitions", "never", device, stdin=script)
        with Path(device).open("r+b") as file:
            file.write(boot_code)
        output("blockdev", "--rereadpt", device)

    def _load_kernel(self, disk: Disk) -> None:
        with mounted(partition(disk.path, ROOT), "ext4", "ro") as tree:
            text = (tree / "boot/grub/grub.cfg").read_text().splitlines()
            words = next(line.split() for line in text if line.strip().startswith("linux "))
            initrd = next(line.split()[1] for line in text if line.strip().startswith("initrd "))
            line = f"--command-line={' '.join(words[2:])}"
            output("kexec", "-l", f"{tree}{words[1]}", f"--initrd={tree}{initrd}", line)


@contextmanager
def _installed(disk: str) -> Iterator[Path]:
    """The written system with its EFI system partition, as it will see itself."""
    with mounted(partition(disk, ROOT), "ext4", "rw") as tree:
        efi = tree / "boot/efi"
        efi.mkdir(exist_ok=True)
        output("mount", "-t", "vfat", partition(disk, ESP), str(efi))
        try:
            yield tree
        finally:
            output("umount", str(efi))
            os.sync()


def _has_fallback(disk: str) -> bool:
    """Whether firmware that has no entry for the disk finds a loader on it."""
    with suppress(OSError), mounted(partition(disk, ESP), "vfat", "ro") as efi:
        return (efi / FALLBACK).is_file()
    return False
