"""One machine of the lab as its BMC sees it: power, boot override, faults. It runs on a `MachineBackend`: vm, container
or simulated.

Boot override, as real firmware treats it: `once` is used up by the next start of the firmware (power on or reset,
whoever asked for it), `continuous` stays, `disabled` means disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from bmk.agent.nonces import mailbox, media
from bmk.errors import BmkError
from bmk.lab.machines.hardware import MachineHardware, with_faults

Target = Literal["pxe", "http", "disk"]
Enabled = Literal["once", "continuous", "disabled"]
MEDIUM = "medium.iso"  # in the machine's directory
Say = Callable[[str, str], None]  # (kind, text): goes to the journal


@dataclass(frozen=True, slots=True)
class Boot:
    """The boot override. `next` is what the firmware would start from now."""

    target: Target = "disk"
    enabled: Enabled = "disabled"

    @property
    def next(self) -> Target:
        return "disk" if self.enabled == "disabled" else self.target

    @property
    def after_start(self) -> Boot:
        """The override after a start of the firmware."""
        return Boot(self.target, "disabled") if self.enabled == "once" else self


class MachineBackend(Protocol):
    """What runs as the machine: it is switched on and off, and has network links.

    `start` and `reset` begin with the firmware; when it has taken its boot order, the backend calls `firmware_started`.
    """

    async def start(self, target: Target) -> None: ...

    async def stop(self) -> None:
        """At once, as pulling the plug does."""

    async def press(self) -> None:
        """The power button: asks the operating system to shut down."""

    async def reset(self) -> None: ...

    async def aim(self, target: Target) -> None:
        """What the firmware starts from after the next reset."""

    async def link(self, up: bool) -> None: ...

    async def change_medium(self) -> None:
        """The BMC put a medium into the machine's virtual drive, or took it out: see `Chassis.medium`."""


class Chassis:
    """Power, boot order and faults of one machine. All requests of one machine happen one after another."""

    def __init__(self, hardware: MachineHardware, directory: Path, say: Say) -> None:
        self.hardware, self.directory, self.say = hardware, directory, say
        self.boot = Boot()
        self.running = False
        self.inserted = ""  # where the medium in the virtual drive came from; "": there is none
        self.backend: MachineBackend = cast(
            MachineBackend, None
        )  # set right after, because a backend needs its chassis
        self.faults: set[str] = set()
        self._turn = asyncio.Lock()
        self._pending: set[asyncio.Task[None]] = set()

    @property
    def console(self) -> Path:
        return self.directory / "console.log"

    @property
    def mailbox(self) -> Path:
        """What an IPMI BMC keeps in its boot initiator mailbox."""
        return self.directory / "mailbox"

    @property
    def medium(self) -> Path | None:
        """The image in the virtual drive, as the machine sees it."""
        return None if not self.inserted or self.has("media-unplugged") else self.directory / MEDIUM

    def left(self) -> dict[str, bytes]:
        """Bytes that the deployer stored in the BMC for the machine, by way of attestation. For backends without KCS or
        USB.
        """
        kept = self.mailbox.read_bytes() if self.mailbox.exists() and self.fitted.bmc.kcs else b""
        volume = self.medium.read_bytes() if self.medium else b""
        found = {"mailbox": mailbox.content(kept.ljust(mailbox.SIZE, b"\0")), "media": media.file_of(volume)}
        return {way: data for way, data in found.items() if data is not None}

    @property
    def fitted(self) -> MachineHardware:
        """The present hardware: faults may have replaced parts."""
        return with_faults(self.hardware, self.faults)

    async def power(self, action: str) -> None:
        """`on`, `off`, `cycle`, `reset`, `press`. No error when it is in that state already."""
        async with self._turn:
            if action in ("off", "cycle") and self.running:
                self.say("lab.power", "power off")
                await self.backend.stop()
                self.running = False
            if action in ("on", "cycle") and not self.running:
                await self._start()
            elif action == "reset" and self.running:
                self.say("lab.power", "reset")
                await self.backend.reset()
            elif action == "press" and self.running and not self.has("system-hangs"):
                await self.backend.press()

    async def _start(self, how: str = "power on") -> None:
        target = self.boot.next
        self.say("lab.power", f"{how}, boot from {target}")
        with self.console.open("ab") as log:
            log.write(f"\r\n=== {self.hardware.name}: {how}, boot from {target}\r\n".encode())
        self.running = True
        try:
            await self.backend.start(target)
        except BaseException:
            self.running = False
            raise
        await self.backend.link(not self.has("no-dhcp"))

    def firmware_started(self) -> None:
        """The backend reports that its firmware has started: a boot-once override ends."""
        left = self.boot.after_start
        if left != self.boot:
            self.boot = left
            self._later(self.backend.aim(left.next))

    def went_off(self) -> None:
        """The backend reports that it has switched itself off."""
        if self.running:
            self.running = False
            self.say("lab.power", "the machine switched itself off")

    def was_reset(self, still: Callable[[], bool]) -> None:
        """The backend reports that it ended for a restart. Start it, unless `still` is False when the lock is free."""
        self._later(self._restart(still))

    async def _restart(self, still: Callable[[], bool]) -> None:
        async with self._turn:
            if self.running and still():
                await self._start("restart")

    async def set_boot(self, target: Target, enabled: Enabled) -> None:
        """Set the override; the fault `bmc-ignores-override` says yes and does nothing, as some BMCs do."""
        async with self._turn:
            if self.has("bmc-ignores-override"):
                return
            self.boot = Boot(target, enabled)
            if self.running:
                await self.backend.aim(self.boot.next)

    async def insert(self, url: str) -> None:
        """Say that the BMC has put a medium from `url` at MEDIUM; "": it took the medium out."""
        async with self._turn:
            self.inserted = url
            if self.running:
                await self.backend.change_medium()

    def has(self, fault: str) -> bool:
        return fault in self.faults

    def show(self) -> dict[str, Any]:
        """The machine as the control socket lists it."""
        hw = self.fitted
        return {
            "name": hw.name,
            "uuid": hw.uuid,
            "serial": hw.serial,
            "kind": hw.kind,
            "firmware": hw.firmware,
            "cpus": hw.cpus,
            "memory": hw.memory,
            "power": "on" if self.running else "off",
            "boot": {"target": self.boot.target, "enabled": self.boot.enabled},
            "macs": [p.mac for p in hw.ports],
            "disks": [{"name": d.name, "serial": d.serial, "size": d.size, "wwn": d.wwn} for d in hw.drives],
            "bmc": {
                "kind": hw.bmc.kind,
                "address": hw.bmc.address,
                "port": hw.bmc.port,
                "secret": hw.bmc.secret,
                "kcs": hw.bmc.kcs,
            },
            "console": str(self.console),
            "mailbox": str(self.mailbox),
            "medium": {"path": str(self.directory / MEDIUM), "url": self.inserted},
            "faults": dict.fromkeys(sorted(self.faults), True),
        }

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(self._quietly(work))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _quietly(self, work: Any) -> None:
        try:
            await work
        except BmkError as error:  # the machine went away meanwhile: nothing is left to aim
            self.say("lab.note", str(error))
