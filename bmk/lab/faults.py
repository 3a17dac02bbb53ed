"""Faults of machines, BMCs and services, on request.

A new fault is one line in FAULTS and, if it does something, one function. Faults that begin with `bmc-` are implemented
by the emulated BMCs, which read them from the machine list.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bmk.errors import ConfigError, PreflightRefused
from bmk.lab.bmc.redfish_shape import PERSONALITIES
from bmk.lab.machines import nvram, signature
from bmk.lab.machines.machine import Chassis
from bmk.lab.machines.vm import firmware_variables

Work = Callable[[Chassis], Awaitable[None]]
ODD_ENTRY = "Boot00FC"
# An EFI_LOAD_OPTION as a CSM leaves it: active, its device path a BBS one (5.1, hard disk) with a name in Latin-1.
_NAME = b"B\xfcro\0"
_BBS = struct.pack("<BBHHH", 5, 1, 8 + len(_NAME), 2, 0) + _NAME + bytes((0x7F, 0xFF, 4, 0))
OF_A_CSM = struct.pack("<IH", 1, len(_BBS)) + "Legacy".encode("utf-16-le") + b"\0\0" + _BBS


async def _nothing(machine: Chassis) -> None:
    """Nothing to do: others read the flag."""


async def _unplug(machine: Chassis) -> None:
    if machine.running:
        await machine.backend.link(False)


async def _plug(machine: Chassis) -> None:
    if machine.running:
        await machine.backend.link(True)


async def _sign(machine: Chassis) -> None:
    _need_off(machine)
    for disk in _disks(machine):
        signature.write(disk)


async def _unsign(machine: Chassis) -> None:
    _need_off(machine)
    for disk in _disks(machine):
        signature.erase(disk)


async def _fill_nvram(machine: Chassis) -> None:
    _change_variables(machine, nvram.filled)


async def _empty_nvram(machine: Chassis) -> None:
    _change_variables(machine, nvram.emptied)


async def _add_odd_entry(machine: Chassis) -> None:
    _change_variables(machine, lambda store: nvram.added(store, nvram.GLOBAL, ODD_ENTRY, OF_A_CSM))


async def _remove_odd_entry(machine: Chassis) -> None:
    _change_variables(machine, lambda store: nvram.emptied(store, nvram.GLOBAL, ODD_ENTRY))


def _change_variables(machine: Chassis, how: Callable[[bytes], bytes]) -> None:
    _need_off(machine)
    if machine.hardware.kind != "vm" or machine.hardware.firmware != "uefi":
        what = "only virtual machines with UEFI have variables of firmware"
        raise PreflightRefused(
            what, where=machine.hardware.name, hint="choose a host whose profile says firmware: uefi"
        )
    path = firmware_variables(machine.directory)
    path.write_bytes(how(path.read_bytes()))


def _need_off(machine: Chassis) -> None:
    if machine.running:
        raise PreflightRefused(
            "disk and firmware can be changed only while their machine is off",
            where=machine.hardware.name,
            hint="switch it off first: bmk power off DC HOST",
        )


def _disks(machine: Chassis) -> list[Path]:
    """Where the bytes of the machine's drives are:

    images, or for a container the file that stands for its first sectors.
    """
    directory = machine.directory
    if machine.hardware.kind != "vm":
        (directory / "disk").mkdir(exist_ok=True)
        return [directory / "disk" / "sectors"]
    return [directory / f"disk{n}.img" for n in range(len(machine.hardware.drives))]


@dataclass(frozen=True, slots=True)
class Fault:
    """`text` is for people; `start` and `end` apply it to one machine. Faults of the whole lab have `lab_wide` set."""

    text: str
    start: Work = _nothing
    end: Work = _nothing
    lab_wide: bool = False


FAULTS: dict[str, Fault] = {
    "bmc-503": Fault("the BMC answers 503 (IPMI: fails)"),
    "bmc-slow": Fault("the BMC takes seconds for every answer"),
    "bmc-ignores-override": Fault("the BMC says 200 OK to a boot override and does nothing"),
    "bmc-power-lies": Fault("the BMC says that the machine is off, whatever it is"),
    "bmc-wrong-serial": Fault("the BMC reports the serial number of another machine"),
    "bmc-fan": Fault("the event log of the BMC says that a fan failed (Redfish)"),
    "bmc-forgets-mailbox": Fault("the BMC says yes to what is left in its mailbox and keeps the old content (IPMI)"),
    "bmc-truncates-mailbox": Fault("the BMC keeps half of each block of its mailbox (IPMI)"),
    "bmc-ignores-media": Fault("the BMC says 204 to virtual media and inserts or ejects nothing (Redfish)"),
    "media-unplugged": Fault("the BMC shows a medium as inserted that its machine never sees (from the next power on)"),
    "kcs-silent": Fault("the BMC never answers its own machine (IPMI; from the next power on)"),
    **{name: Fault(f"the BMC has the habits of {p.manufacturer} {p.model}") for name, p in PERSONALITIES.items()},
    "system-hangs": Fault("the machine's system does not react to the power button"),
    "no-dhcp": Fault("the network cable is out, so no DHCP request is ever seen", _unplug, _plug),
    "wrong-serial": Fault("another mainboard is in the case: its serial number is not that of the file"),
    "wrong-disk": Fault("another disk is in the case: its serial number is not that of the file"),
    "wrong-nic": Fault("the NIC that boots was replaced: its MAC is not that of the file"),
    "wrong-firmware": Fault("the firmware's setup was changed: BIOS instead of UEFI, or the reverse"),
    "disk-lvm": Fault("somebody's LVM volume is on the disk", _sign, _unsign),
    "disk-4kn": Fault("the disk has sectors of 4096 bytes (from the next power on; what is on it is lost to firmware)"),
    "nvram-full": Fault("the firmware has no room for another variable (UEFI machines)", _fill_nvram, _empty_nvram),
    "boot-entry-latin1": Fault("a boot entry's text is Latin-1 (UEFI machines)", _add_odd_entry, _remove_odd_entry),
    "image-byte": Fault("the boot server serves the node image with one byte flipped", lab_wide=True),
}


@dataclass
class BrokenImages:
    """The lab-wide fault: a changed copy is mounted over each image, in the lab's mount namespace only."""

    copies: Path
    mounted: list[Path] = field(default_factory=list)

    def start(self, images: list[Path]) -> None:
        if not images:
            raise PreflightRefused("there is no node image to spoil", hint="bmk artifacts build")
        self.copies.mkdir(parents=True, exist_ok=True)
        for image in images:
            if image in self.mounted:
                continue
            copy = self.copies / image.name
            shutil.copyfile(image, copy)
            flip_byte(copy)
            subprocess.run(["mount", "--bind", str(copy), str(image)], check=True)
            self.mounted.append(image)

    def end(self) -> None:
        while self.mounted:
            subprocess.run(["umount", str(self.mounted.pop())], check=True)
        shutil.rmtree(self.copies, ignore_errors=True)


def flip_byte(path: Path) -> int:
    """Change one bit in the middle of a file and return its offset."""
    middle = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0x01]))
    return middle


class Faults:
    """Starts and ends faults, and ends those with a time limit by themselves."""

    def __init__(self, machines: dict[str, Chassis], broken: BrokenImages, images: Callable[[], list[Path]]) -> None:
        self._machines, self._broken, self._images = machines, broken, images
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()

    @property
    def lab_wide(self) -> list[str]:
        return ["image-byte"] if self._broken.mounted else []

    async def set(self, name: str, machine: Chassis | None, on: bool, seconds: float | None) -> None:
        """Start (or end) a fault; with `seconds` it ends by itself."""
        fault = _known(name)
        if fault.lab_wide:
            self._broken.start(self._images()) if on else self._broken.end()
            return
        if machine is None:
            raise ConfigError(f"the fault {name} needs a machine", hint=f"bmk lab break DC {name} HOST")
        self._forget_timer(name, machine)
        if on:
            await fault.start(machine)
            machine.faults.add(name)
            self._end_later(name, machine, seconds)
        elif machine.has(name):
            await fault.end(machine)
            machine.faults.discard(name)
        machine.say("lab.fault", f"{name} {'on' if on else 'off'}: {fault.text}")

    def _forget_timer(self, name: str, machine: Chassis) -> None:
        timer = self._timers.pop((machine.hardware.name, name), None)
        if timer is not None:
            timer.cancel()

    def _end_later(self, name: str, machine: Chassis, seconds: float | None) -> None:
        if seconds is None:
            return
        loop = asyncio.get_running_loop()
        self._timers[machine.hardware.name, name] = loop.call_later(seconds, self._end_now, name, machine)

    def _end_now(self, name: str, machine: Chassis) -> None:
        task = asyncio.ensure_future(self.set(name, machine, False, None))
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _known(name: str) -> Fault:
    if name not in FAULTS:
        raise ConfigError(f"there is no fault {name!r}", why=f"there are {', '.join(FAULTS)}")
    return FAULTS[name]
