"""A system container as the install agent sees it: a directory instead of a disk.

The image's bytes are fetched and hashed like on any machine, so a damaged one is found; what boots afterwards is the
same root, unpacked once (`rootfs.py`), because a container has no partitions. So there is nothing to read back: the
granted digest stands for it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bmk.agent import AgentError, Disk, InstallSpec, MachineFacts, Written
from bmk.agent.directory import DirectoryHardware
from bmk.agent.fetch import Download
from bmk.agent.hardware import Tell
from bmk.agent.model import BootOrder, DiskContent, ImageSource
from bmk.agent.nonces import opened
from bmk.agent.progress import Progress
from bmk.errors import BmkError
from bmk.lab.host.rootfs import base_root
from bmk.lab.machines import signature
from bmk.lab.machines.hardware import MachineHardware

# Directories with data that a wipe would lose, and their names for people.
_PRECIOUS = {"real/var-lib-etcd/member": "a live etcd", "real/var-lib-kubelet/pki": "the data of a kubelet"}


class PowerCut(BaseException):
    """The machine lost power while it was installing: no report and no clean-up, as with a real one."""


class ContainerHardware(DirectoryHardware):
    """`disk` is the directory that stands for the first drive; `off` is set when power is cut. `left`: bytes that the
    BMC has for the machine, by way of attestation.
    """

    def __init__(
        self,
        hardware: MachineHardware,
        disk: Path,
        say: Callable[[str], None],
        off: threading.Event,
        left: Callable[[], dict[str, bytes]],
    ) -> None:
        facts = facts_of(hardware, disk)
        super().__init__(disk / "upper", facts, say=say)
        self._disk, self._off = disk, off
        self._left = left
        self._lower: Path | None = None

    def facts(self) -> MachineFacts:
        self._alive()
        return super().facts()

    def nonces(self, expected: str) -> dict[str, bytes]:  # noqa: ARG002 - what its BMC holds is there at once
        return opened(self._left())

    def write(self, disk: Disk, image: ImageSource, tell: Tell) -> Written:  # noqa: ARG002 - there is one
        started = time.monotonic()
        wipe(self._disk)
        size = self._fetch(image, tell)
        written = time.monotonic()
        try:
            self._lower = base_root()
        except BmkError as error:
            raise AgentError(error.what, why=error.why, hint=error.hint) from error
        self._alive()
        seconds = {"write": round(written - started, 2), "readback": round(time.monotonic() - written, 2)}
        return Written(image.sha256, image.raw_sha256, size, seconds)

    def _fetch(self, image: ImageSource, tell: Tell) -> int:
        """Take the image from the boot server, every byte of it, and compare its digest."""
        download, progress = Download(image), Progress(tell, "image", image.size)
        try:
            for _ in download:
                self._alive()
                progress.at(download.position)
        finally:
            download.finish()
        progress.end(download.position)
        seen = download.sha256()
        if seen != image.sha256:
            raise AgentError(
                "the image is not the one that was granted, byte for byte",
                why=f"sha256 {image.sha256}, came {seen}",
                hint="bmk artifacts verify names the damaged file; the disk was left unbootable",
                code="image",
            )
        return download.position

    def configure(self, disk: Disk, spec: InstallSpec) -> list[str]:
        self._alive()
        return super().configure(disk, spec)

    def boot_from(self, disk: Disk) -> BootOrder:
        self._alive()
        if self._lower is None:
            raise AgentError("nothing was written, so nothing can boot")
        make_bootable(self._disk, self._lower)
        return BootOrder([disk.name])

    def say(self, text: str) -> None:
        self._alive()
        super().say(text)

    def _alive(self) -> None:
        if self._off.is_set():
            raise PowerCut


def facts_of(hardware: MachineHardware, disk: Path) -> MachineFacts:
    """The facts of the machine; `disk` stands for the first drive."""
    disks = []
    for number, drive in enumerate(hardware.drives):
        path = f"/dev/{drive.name}"
        found = tuple(findings(disk, path)) if number == 0 else ()
        said = (drive.name, path, drive.size, drive.serial, drive.wwn, "lab", drive.rotational, found, drive.sector)
        disks.append(Disk(*said))
    macs = tuple(port.mac for port in hardware.ports)
    return MachineFacts(hardware.uuid, hardware.serial, macs, tuple(disks), hardware.firmware)


def wipe(disk: Path) -> None:
    """Empty the disk. The bootable marker goes first, so that after a kill half way nothing boots."""
    (disk / "installed").unlink(missing_ok=True)
    shutil.rmtree(disk, ignore_errors=True)
    disk.mkdir()


def make_bootable(disk: Path, lower: Path) -> None:
    """The last write of an installation: what the container boots from, the root below its own layer."""
    (disk / "installed").write_text(str(lower))


def findings(disk: Path, device: str) -> list[DiskContent]:
    """Foreign data on a container's disk, for the install agent."""
    found = [DiskContent(device, what, True) for path, what in _PRECIOUS.items() if (disk / path).exists()]
    if signature.is_there(disk / "sectors"):
        found.append(DiskContent(device, "an LVM physical volume", True))
    if (disk / "installed").exists() and not found:
        found.append(DiskContent(device, "an installed system of bmk", False))
    return found
