"""What bmk asks of a baseboard management controller. One class per kind implements it; every write is read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Power = Literal["on", "off"]
PowerAction = Literal["on", "off", "cycle", "shutdown", "restart", "ask-off"]
Severity = Literal["OK", "Warning", "Critical"]
BootTarget = Literal["pxe", "http", "disk"]
Firmware = Literal["uefi", "bios"]
LOG_LIMIT = 200  # entries of one log that are told


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the machine is, by its BMC. Values the BMC does not know are None or empty, never guessed."""

    uuid: str | None = None
    serial: str | None = None
    macs: tuple[str, ...] = ()
    manufacturer: str | None = None
    model: str | None = None
    bmc_version: str | None = None


@dataclass(frozen=True, slots=True)
class InventoryDisk:
    """A drive. `size` in bytes; `holds` says in words what is on it ("" when unknown or blank)."""

    name: str
    size: int
    serial: str | None = None
    wwn: str | None = None
    model: str | None = None
    rotational: bool | None = None
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the BMC says is built in. `memory` in bytes; None: it does not say."""

    cpus: int | None = None
    memory: int | None = None
    disks: tuple[InventoryDisk, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """`at` in UTC where the BMC says which time it writes, else in its words; its clock may be wrong."""

    at: str
    severity: Severity
    text: str


class Bmc(Protocol):
    """Blocking calls with time-outs and limited retries. All raise BmcError with the address in `where`."""

    def identity(self) -> Identity: ...

    def inventory(self) -> Inventory: ...

    def power(self) -> Power: ...

    def set_power(self, action: PowerAction) -> None:
        """Change power and read back until it is so.

        `shutdown` and `restart` ask the system that runs there to end, and switch the machine off when it does not
        within `Timeouts.shutdown` or cannot be asked; an event says so. `ask-off` asks as well, and cuts no power:
        BmcIgnores when the machine is not off then. `off` and `cycle` ask nobody.
        """

    def set_boot_once(self, target: BootTarget, firmware: Firmware) -> None:
        """Override the next boot only, and read the override back; a BMC that ignores it raises BmcError."""

    def clear_boot_once(self) -> None:
        """Boot from disk next time, and read it back."""

    def boot_override(self) -> str:
        """Where the next boot goes instead of the disk, in the BMC's words; "": nowhere else."""

    def write_mailbox(self, data: bytes) -> None:
        """Leave up to 64 bytes with the BMC where the machine's own system can read them; b"" clears. Read back.

        `data` is a secret: it enters no argument, event or error.
        """

    def insert_media(self, data: bytes) -> None:
        """Give the machine a small read-only volume with one file of at most 4096 bytes, instead of an earlier one.

        Read back. `data` is a secret. This process serves it until `eject_media`: what a killed run inserted is dead.
        """

    def eject_media(self) -> None:
        """Take our volume out, if it is in; another's stays. Read back."""

    def event_log(self) -> list[LogEntry]:
        """Of each log that tells of the hardware, its newest LOG_LIMIT entries, oldest first as far as the BMC says.

        An event says so where the BMC has no such log.
        """

    def console(self, path: Path, stop: Callable[[], bool]) -> None:
        """Append the serial console to a file until `stop()` says so."""

    def disconnect(self) -> None:
        """End the connection, which BMCs have few of. The next call makes a new one."""
