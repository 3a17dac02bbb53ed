"""BMCs that speak IPMI 2.0, through ipmitool."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk.bmc import mailbox
from bmk.bmc.ipmi_sel import entries_of
from bmk.bmc.ipmi_text import BootFlags, decode_guid, parse_boot_flags, parse_bytes, parse_fields
from bmk.bmc.ipmitool import Ipmitool
from bmk.bmc.power import Order, PowerOrders
from bmk.bmc.protocol import BootTarget, Firmware, Identity, Inventory, LogEntry, Power
from bmk.bmc.quirks import Quirk, quirk_of
from bmk.bmc.retry import bmc_errors_only, read_back_error
from bmk.errors import ConfigError
from bmk.identity import serial_of

ORDERS: dict[Order, str] = {"on": "on", "off": "off", "shutdown": "soft"}
DEVICES: dict[BootTarget, str] = {"pxe": "pxe", "disk": "disk"}
SELECTORS: dict[BootTarget, int] = {"pxe": 0x1, "disk": 0x2}
_SCRIPT = ("exec", "/dev/stdin")  # commands, one a line, that are nobody's business


@bmc_errors_only
class IpmiBmc(PowerOrders, Ipmitool):
    """One BMC on UDP port 623. Nothing is asked of it before the first call."""

    _known: Quirk | None = None

    def identity(self) -> Identity:
        fru, mc = self._fru(), parse_fields(self._ask("describe itself", "mc", "info"))
        guid = self._ask("say its GUID", "raw", "0x06", "0x37", may_fail=True)  # 0xc1: it has no such command
        return Identity(
            uuid=decode_guid(parse_bytes(guid), self._access.machine.uuid),
            serial=serial_of(fru.get("Product Serial"), fru.get("Chassis Serial")),
            manufacturer=fru.get("Product Manufacturer") or mc.get("Manufacturer Name"),
            model=fru.get("Product Name") or mc.get("Product Name"),
            bmc_version=mc.get("Firmware Revision"),
        )

    def inventory(self) -> Inventory:
        """Empty: IPMI has no standard way to list processors, memory or drives."""
        return Inventory()

    def power(self) -> Power:
        answer = self._ask("report its power state", "chassis", "power", "status")
        found = re.search(r"Chassis Power is (on|off)", answer)
        if not found:
            raise self._error("the BMC reports no usable power state", why=answer, hint="restart the BMC")
        return "on" if found[1] == "on" else "off"

    def set_boot_once(self, target: BootTarget, firmware: Firmware) -> None:
        if target not in DEVICES:
            raise ConfigError(
                f"IPMI cannot ask for {target} boot",
                where=self._access.address,
                hint="set `boot: pxe` in the profile, or `kind: redfish` when the BMC speaks it",
            )
        self._keep_flags()
        option = ["options=efiboot"] if firmware == "uefi" else []
        self._ask("set the next boot", "chassis", "bootdev", DEVICES[target], *option)
        seen = self._boot_flags()
        if not seen.once_from(SELECTORS[target], firmware == "uefi", self._quirk):
            raise read_back_error(
                self._access,
                f"the BMC accepted the boot override and ignores it: wanted {target} once ({firmware}), reads {seen}",
                why="the next boot would not be from the network, so the machine was not powered on",
                hint="update the BMC's firmware, or set the boot order by hand and check `firmware` in the profile",
            )
        self._access.tell("bmc.boot", f"next boot: {seen}, read back", target=target, firmware=firmware)

    def clear_boot_once(self) -> None:
        if not self._boot_flags().active(self._quirk):
            return
        self._ask("clear the boot override", "chassis", "bootdev", "none")
        seen = self._boot_flags()
        if seen.active(self._quirk):
            raise read_back_error(
                self._access,
                f"the BMC keeps the boot override: {seen}",
                why="the machine would boot from the network again",
                hint="clear the override by hand (BMC web page, boot order), then run the same command again",
            )
        self._access.tell("bmc.boot", "boot override cleared, read back")

    def boot_override(self) -> str:
        seen = self._boot_flags()
        elsewhere = seen.active(self._quirk) and seen.selector != SELECTORS["disk"]
        return str(seen) if elsewhere else ""

    def write_mailbox(self, data: bytes) -> None:
        wanted = mailbox.image(parse_bytes(self._ask("describe itself", "raw", "0x06", "0x01")), data)
        both = mailbox.writing(wanted) + mailbox.reading()  # in one session
        answer = self._ask("keep what is left in its boot initiator mailbox", *_SCRIPT, script=both)
        if mailbox.blocks_of(parse_bytes(answer)) != wanted:
            raise read_back_error(
                self._access,
                "the BMC accepted what was left in its boot initiator mailbox and shows something else",
                why="the machine could not prove that it is the one behind this BMC, so it was not powered on",
                hint="update the BMC's firmware, or set `attest: {way: console}` in the profile",
            )
        self._access.tell("bmc.mailbox", f"mailbox {'written' if data else 'cleared'}, read back")

    def insert_media(self, data: bytes) -> None:  # noqa: ARG002 - a protocol's
        raise self._error("IPMI has no virtual media", hint="set `attest: {way: mailbox}` in the profile")

    def eject_media(self) -> None:
        raise self._error("IPMI has no virtual media", hint="set `attest: {way: mailbox}` in the profile")

    def event_log(self) -> list[LogEntry]:
        # as records, which ipmitool writes to nothing but a file; what it prints lacks the numbers
        with TemporaryDirectory(prefix="bmk-sel-") as directory:
            log = Path(directory) / "sel"
            seconds = max(self._access.timing.patience, self._access.timing.request)  # an exchange for each entry
            self._ask("read its event log", "sel", "writeraw", str(log), seconds=seconds)
            return entries_of(log.read_bytes() if log.exists() else b"")  # none for an empty log

    def console(self, path: Path, stop: Callable[[], bool]) -> None:
        self._ask("close an older console", "sol", "deactivate", may_fail=True)
        with path.open("ab") as log, self._ipmitool("sol", "activate") as process:
            while not stop():
                if process.poll() is not None:
                    raise self._error("the BMC closed its console", hint="another user may have opened it; try again")
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                if select.select([process.stdout], [], [], self._access.timing.poll)[0]:
                    log.write(os.read(process.stdout.fileno(), 65536))
                    log.flush()

    def disconnect(self) -> None:
        """Each command of ipmitool is a session of its own, and over."""

    # -- one request each; raise Busy or BmcError -------------------------------------------------------------------

    def _read_power(self) -> Power | None:
        return self.power()

    def _order(self, order: Order) -> bool:
        if self.power() == ("on" if order == "on" else "off"):
            return False
        self._ask(f"switch power {order}", "chassis", "power", ORDERS[order])
        return True

    def _keep_flags(self) -> None:
        """Tell the BMC not to drop the override after 60 s, the standard's default. Some cannot; then 60 s it is."""
        self._ask("keep the boot flags", "raw", "0x00", "0x08", "0x03", "0x08", may_fail=True)

    def _boot_flags(self) -> BootFlags:
        answer = self._ask("report the boot override", "chassis", "bootparam", "get", "5")
        flags = parse_boot_flags(answer)
        if flags is None:
            raise self._error("the BMC reports no boot flags", why=answer.strip(), hint="update the BMC's firmware")
        return flags

    @property
    def _quirk(self) -> Quirk:
        if self._known is None:
            fru = self._fru()
            self._known = quirk_of(fru.get("Product Manufacturer"), fru.get("Product Name"))
        return self._known

    def _fru(self) -> Mapping[str, str]:
        return parse_fields(self._ask("show its FRU data", "fru", "print", "0", may_fail=True))
