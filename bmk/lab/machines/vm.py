"""A virtual machine: QEMU with real firmware. `arguments()` is pure; `VmBackend` starts it and talks to it over QMP.

A reset, whoever asks for it, ends QEMU and starts another one. QEMU 7.2, Debian 12's own, keeps what it translated of
memory that has other content since, and looks through all of it at each byte that is written there: after a reset in
the same process a node took minutes, sometimes ten, to boot. What boots is said at each start, by bootindex.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from pathlib import Path
from typing import Any

from bmk.errors import PreflightRefused, Unreachable
from bmk.lab.host import network
from bmk.lab.host.sockets import short_path
from bmk.lab.machines import tpm
from bmk.lab.machines.hardware import SECTOR, Drive, MachineHardware
from bmk.lab.machines.machine import Chassis, Target
from bmk.lab.machines.qmp import Qmp
from bmk.lab.machines.tpm import SoftwareTpm

RESETS = ("guest-reset", "host-qmp-system-reset")  # why QEMU ends: of its RunState's ShutdownCause
_SETTLE = 3.0  # seconds without a further reset after which the firmware has taken its boot order
OVMF_CODE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
OVMF_VARS = ("/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS.fd")


def arguments(hardware: MachineHardware, target: Target, *, kvm: bool, qmp_fd: int) -> list[str]:
    """QEMU's command line.

    Paths are relative to the machine's directory, where it is started; CPUs stand still until `cont`.
    """
    accelerator = ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    identity = f"type=1,manufacturer=bmk,product=lab,uuid={hardware.uuid},serial={_comma(hardware.serial)}"
    lines = [
        *("-name", f"{hardware.name},process=bmk-{hardware.name}", "-nodefaults", "-no-user-config", "-S"),
        *("-action", "reboot=shutdown"),
        *("-machine", "q35,graphics=off,usb=off", *accelerator),
        *("-smp", str(hardware.cpus), "-m", f"{hardware.memory >> 20}M"),
        *("-uuid", hardware.uuid, "-smbios", identity),
        *("-display", "none", "-vga", "none"),
        *("-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log,logappend=on"),
        *("-device", "isa-serial,chardev=console", "-device", "virtio-rng-pci", "-boot", "strict=on"),
        *_firmware(hardware),
    ]
    for number, drive in enumerate(hardware.drives):
        lines += _drive(drive, number, bootindex(target, "disk", number))
    # The NIC that boots is the last that the kernel finds, as where it is a card and others are on the mainboard.
    for number, port in reversed(list(enumerate(hardware.ports))):
        index = bootindex(target, "nic", number)
        lines += ["-netdev", f"tap,id=net{number},ifname={port.tap},script=no,downscript=no"]
        lines += ["-device", f"virtio-net-pci,id=nic{number},netdev=net{number},mac={port.mac}" + _index(index)]
    lines += _DOORS[hardware.bmc.kind](hardware)
    return [*lines, *(tpm.arguments(hardware.firmware) if hardware.tpm else ())]


def bootindex(target: Target, device: str, number: int) -> int:
    """Place in the boot order; -1:

    never. Only the first NIC boots. A disk comes after the network, as iPXE's `exit` expects.
    """
    if device == "nic":
        return 0 if target != "disk" and number == 0 else -1
    return number + 1


def _index(number: int) -> str:
    return f",bootindex={number}" if number >= 0 else ""


def _comma(value: str) -> str:
    return value.replace(",", ",,")


def _firmware(hardware: MachineHardware) -> list[str]:
    if hardware.firmware == "bios":
        return []
    code = f"if=pflash,format=raw,unit=0,readonly=on,file={_first(OVMF_CODE)}"
    return ["-drive", code, "-drive", "if=pflash,format=raw,unit=1,file=vars.fd"]


def _drive(drive: Drive, number: int, index: int) -> list[str]:
    back = f"if=none,id=drive{number},format=raw,file=disk{number}.img,cache=unsafe,discard=unmap,detect-zeroes=unmap"
    common = f"drive=drive{number},id=disk{number},serial={_comma(drive.serial)}" + _index(index)
    if drive.sector != SECTOR:
        common += f",logical_block_size={drive.sector},physical_block_size={drive.sector}"
    if drive.bus == "virtio":
        return ["-drive", back, "-device", f"virtio-blk-pci,{common}"]
    wwn = f",wwn={drive.wwn}" if drive.wwn else ""
    spin = ",rotation_rate=7200" if drive.rotational else ",rotation_rate=1"
    if drive.bus == "scsi":
        controller = ["-device", f"virtio-scsi-pci,id=scsi{number}"]
        return ["-drive", back, *controller, "-device", f"scsi-hd,bus=scsi{number}.0,{common}{wwn}{spin}"]
    return ["-drive", back, "-device", f"ide-hd,bus=ide.{number},{common}{wwn}{spin}"]


def _kcs(hardware: MachineHardware) -> list[str]:
    """The KCS interface to the machine's IPMI BMC, announced by SMBIOS (type 38) and ACPI.

    With `reconnect` QEMU connects later than at once, when it would end with a segmentation fault (seen with 10.0).
    """
    port = hardware.bmc.kcs
    where = f"host=127.0.0.1,port={port}" if port else f"path={_SILENCE}"
    chardev = f"socket,id=kcs,{where},reconnect=1"
    return [
        *("-chardev", chardev),
        *("-device", "ipmi-bmc-extern,id=bmc,chardev=kcs", "-device", "isa-ipmi-kcs,bmc=bmc"),
    ]


def _virtual_drive(_hardware: MachineHardware) -> list[str]:
    """What a Redfish BMC's virtual media are for the machine: an optical drive on USB, empty, nothing that boots."""
    drive = f"if=none,id={_DRIVE},media=cdrom,readonly=on"
    return ["-device", "qemu-xhci", "-drive", drive, "-device", f"usb-storage,drive={_DRIVE}"]


_DRIVE = "virtual-drive"
_SILENCE = "kcs.sock"  # a socket that accepts connections and sends nothing
_DOORS = {
    "ipmi": _kcs,
    "redfish": _virtual_drive,
}  # by which a machine reads bytes from its BMC; last, so that no other device changes its place


def _first(candidates: tuple[str, ...]) -> str:
    for path in candidates:
        if Path(path).exists():
            return path
    raise PreflightRefused(
        "there is no UEFI firmware for virtual machines", where=candidates[0], hint="apt-get install ovmf"
    )


def firmware_variables(directory: Path) -> Path:
    """The file in which UEFI firmware keeps its variables; a new machine starts with OVMF's defaults."""
    path = directory / "vars.fd"
    if not path.exists():
        shutil.copyfile(_first(OVMF_VARS), path)
    return path


def make_disks(hardware: MachineHardware, directory: Path) -> None:
    """Make blank sparse disks for drives without an image; grow those whose size in the file was raised."""
    for number, drive in enumerate(hardware.drives):
        with (directory / f"disk{number}.img").open("ab") as image:
            if image.tell() < drive.size:
                image.truncate(drive.size)


class VmBackend:
    """See `machine.MachineBackend`."""

    def __init__(self, chassis: Chassis, kvm: bool) -> None:
        self._chassis, self._kvm = chassis, kvm
        self._process: asyncio.subprocess.Process | None = None
        self._qmp: Qmp | None = None
        self._watch: asyncio.Task[None] | None = None
        self._taps = False
        self._settling: asyncio.TimerHandle | None = None
        self._silence: socket.socket | None = None
        self._tpm = SoftwareTpm(chassis.directory)
        self._reset = False  # the process ends, or ended, to start again
        make_disks(chassis.hardware, chassis.directory)

    async def start(self, target: Target) -> None:
        self._prepare_files()
        await self._prepare_taps()
        self._reset = False
        hardware = self._chassis.fitted
        if hardware.tpm:
            await self._tpm.start()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                "qemu-system-x86_64",
                *arguments(hardware, target, kvm=self._kvm, qmp_fd=theirs.fileno()),
                cwd=self._chassis.directory,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=(self._chassis.directory / "qemu.log").open("wb"),
            )
        self._qmp = Qmp(self._event)
        try:
            await self._qmp.connect(ours)
            if self._chassis.medium:
                await self.change_medium()
            await self._qmp.command("cont")
        except (Unreachable, TimeoutError, OSError) as error:
            await self.stop()
            reason = (self._chassis.directory / "qemu.log").read_text()[-500:]
            raise PreflightRefused(
                "the virtual machine did not start", where=hardware.name, why=reason or str(error)
            ) from error
        self._watch = asyncio.create_task(self._wait(self._process, self._qmp))
        self._firmware_began()

    def _prepare_files(self) -> None:
        directory = self._chassis.directory
        if self._chassis.fitted.firmware == "uefi":
            firmware_variables(directory)
        (directory / "console.sock").unlink(missing_ok=True)
        if self._chassis.fitted.bmc.kcs == 0:
            (directory / _SILENCE).unlink(missing_ok=True)
            self._silence = socket.socket(socket.AF_UNIX)
            with short_path(directory / _SILENCE) as path:
                self._silence.bind(path)
            self._silence.listen()

    async def _prepare_taps(self) -> None:
        if not self._taps:
            await network.apply([line for port in self._chassis.hardware.ports for line in network.tap_lines(port)])
            self._taps = True

    def _event(self, name: str, data: dict[str, Any]) -> None:
        if name == "SHUTDOWN":
            self._reset = data.get("reason") in RESETS
        elif name == "STOP":  # not requested by the lab
            why = (self._chassis.directory / "qemu.log").read_text(errors="replace").partition("\n")[0]
            self._chassis.say("lab.note", f"QEMU stopped the processors: {why}")

    def _firmware_began(self) -> None:
        """Firmware may reset the machine once more before it looks at the boot order, which keeps an override."""
        self._settling = asyncio.get_running_loop().call_later(_SETTLE, self._chassis.firmware_started)

    async def _wait(self, process: asyncio.subprocess.Process, qmp: Qmp) -> None:
        await process.wait()
        await qmp.ended()
        if process is not self._process:
            return
        await self.stop()
        if self._reset:
            self._chassis.was_reset(lambda: self._process is None)
        else:
            self._chassis.went_off()

    async def stop(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        process, self._process = self._process, None
        qmp, self._qmp = self._qmp, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if qmp is not None:
            await qmp.close()
        await self._tpm.stop()

    async def press(self) -> None:
        await self._command("system_powerdown")

    async def reset(self) -> None:
        await self._command("system_reset")

    async def aim(self, target: Target) -> None:
        """Nothing to do: each start gets the boot order."""

    async def link(self, up: bool) -> None:
        for number in range(len(self._chassis.hardware.ports)):
            await self._command("set_link", name=f"nic{number}", up=up)

    async def change_medium(self) -> None:
        medium = self._chassis.medium
        if medium is None:
            await self._command("eject", device=_DRIVE, force=True)
            return
        image = {"filename": str(medium), "format": "raw", "read-only-mode": "read-only"}
        await self._command("blockdev-change-medium", device=_DRIVE, **image)

    async def _command(self, name: str, /, **arguments: Any) -> None:
        if self._qmp is None:
            raise Unreachable("the machine is off", where=self._chassis.hardware.name)
        await self._qmp.command(name, **arguments)
