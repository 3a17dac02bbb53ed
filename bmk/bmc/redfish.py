"""BMCs that speak Redfish, through sushy. The only module that imports it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bmk.bmc.access import Access
from bmk.bmc.power import Order, PowerOrders
from bmk.bmc.protocol import Identity, Inventory, LogEntry, Power
from bmk.bmc.quirks import Quirk, quirk_of
from bmk.bmc.redfish_documents import Lacking, drives_of, linked, macs_of, members, parts, resets_of, system_of
from bmk.bmc.redfish_logs import log_of
from bmk.bmc.redfish_media import VirtualMedia
from bmk.bmc.redfish_override import BY_HAND, BootOverride
from bmk.bmc.redfish_text import Json, consoles_of, links_of, lower_of, number_at, oems_of, text_at
from bmk.bmc.refusals import reason_of
from bmk.bmc.retry import Busy, bmc_errors_only, persist
from bmk.errors import ODD, BmcError, BmcIgnores
from bmk.identity import serial_of, uuids
from bmk.permit import unrestricted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bmk.bmc.https import OneOrigin
    from bmk.bmc.login import Login

T = TypeVar("T")

ROOT, RESET = "/redfish/v1/", "#ComputerSystem.Reset"
COLLECTIONS = {"ManagedBy": "Managers", "Chassis": "Chassis"}  # of what a system links to
RESETS: dict[Order, tuple[str, ...]] = {
    "on": ("On", "ForceOn"),
    "off": ("ForceOff",),
    "shutdown": ("GracefulShutdown", "PushPowerButton"),
}
ORDERS: dict[Order, str] = {"on": "switch on", "off": "switch off", "shutdown": "shut the system down"}
POWER: dict[str, Power] = {"On": "on", "Off": "off"}
CHANGING = {"PoweringOn": "it is powering on", "PoweringOff": "it is powering off"}
BUSY_CODES = frozenset({429, 500, 502, 503, 504})
BUSY_WORDS = ("UnableToModifyDuringSystemPOST", "SYS518", "InvalidOperationForSystemState")
GONE = 404
NOT_THERE = frozenset({400, 403, 404, 405, 500, 501, 503})  # answers of a part that this BMC lacks or cannot show


@bmc_errors_only
class RedfishBmc(PowerOrders, BootOverride, VirtualMedia):
    """One BMC with one system. Nothing is asked of it before the first call."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._line: OneOrigin | None = None
        self._login: Login | None = None
        self._conn: Any = None  # sushy's connector
        self._root: Json = {}
        self._path, self._alone = "", False
        self._unread = set[str]()

    def identity(self) -> Identity:
        def read() -> Identity:
            system = self._fresh()
            managers = self._near(system, "ManagedBy")
            uuid = lower_of(system.get("UUID"))
            return Identity(
                uuid=uuid if uuids(uuid) else None,
                serial=serial_of(text_at(system, self._quirk(system).serial_field)),
                macs=macs_of(self._part, system, partial(self._near, system, "Chassis"), self._access.machine.macs),
                manufacturer=text_at(system, "Manufacturer"),
                model=text_at(system, "Model"),
                bmc_version=text_at(managers[0], "FirmwareVersion") if managers else None,
            )

        return self._call("say who the machine is", read)

    def inventory(self) -> Inventory:
        def read() -> Inventory:
            system = self._fresh()
            cpus = number_at(system, "ProcessorSummary", "Count")
            memory = number_at(system, "MemorySummary", "TotalSystemMemoryGiB")
            return Inventory(
                cpus=int(cpus) if cpus else None,
                memory=int(memory * 2**30) if memory else None,
                disks=drives_of(self._part, system),
            )

        return self._call("list its hardware", read)

    def power(self) -> Power:
        return self._call("report its power state", lambda: self._power(self._fresh()))

    def event_log(self) -> list[LogEntry]:
        def read() -> list[LogEntry] | None:
            system = self._fresh()
            return log_of(self._part, [system, *self._near(system, "ManagedBy"), *self._near(system, "Chassis")])

        log = self._call("read its event log", read)
        if log is None:
            self._access.tell("bmc.no-log", "the BMC shows no event log: what breaks is not told", "warning")
        return log or []

    def console(self, path: Path, stop: Callable[[], bool]) -> None:
        from bmk.bmc import ipmi  # noqa: PLC0415 - only for BMCs that offer the console over IPMI

        offset, (link, port) = 0, self._call("describe its console", self._console_way)
        if link is None:
            ipmi.IpmiBmc(replace(self._access, port=port)).console(path, stop)
            return
        while not stop():
            text = self._call("show its console", partial(self._get_bytes, f"{link}?offset={offset}"))
            with path.open("ab") as log:
                log.write(text)
            offset += len(text)
            self._access.sleep(self._access.timing.poll)

    def disconnect(self) -> None:
        if self._line is None or self._login is None:
            return
        self._line.begin()
        with unrestricted():  # also of a cancelled call: a BMC has few sessions
            self._login.leave()
        self._line.close()

    # -- one request each; raise Busy or BmcError -------------------------------------------------------------------

    def _power(self, system: Json) -> Power:
        """On or off; raises Busy while it changes: neither is true then."""
        state = text_at(system, "PowerState") or ""
        if state in CHANGING:
            raise Busy(CHANGING[state])
        if state not in POWER:
            raise BmcError(
                f"the BMC reports no usable power state ({state[:40]!r})",
                where=self._access.address,
                hint="restart the BMC, then run the same command again",
            )
        return POWER[state]

    def _read_power(self) -> Power | None:
        return self._call("report its power state", lambda: POWER.get(text_at(self._fresh(), "PowerState") or ""))

    def _order(self, order: Order) -> bool:
        return self._call(ORDERS[order], lambda: self._ask_for(order))

    def _ask_for(self, order: Order) -> bool:
        """False when it is so already. What is on its way to on is waited for; to off, cut short or waited for."""
        system = self._fresh()
        ending = text_at(system, "PowerState") == "PoweringOff"
        if ending and order == "shutdown":
            return True
        if not (ending and order == "off") and self._power(system) == ("on" if order == "on" else "off"):
            return False
        place, offered = text_at(system, "Actions", RESET, "target"), resets_of(self._part, system)
        value = next((v for v in RESETS[order] if v in offered), "" if offered else RESETS[order][0])
        if not place or not value:
            raise BmcIgnores(
                f"this BMC cannot be told to {ORDERS[order]}",
                where=self._access.address,
                why=f"it offers {', '.join(offered) or 'no resets'}",
                hint="another order of `bmk power ORDER DC HOST`, or the machine's buttons; update the BMC's firmware",
            )
        self._conn.post(place, data={"ResetType": value})
        return True

    def _quirk(self, system: Json) -> Quirk:
        """By the system; where it does not say who made it, by the BMC, else by how its maker names systems."""
        named = (text_at(system, "Manufacturer"), text_at(self._root, "Vendor"), *oems_of(self._root))
        return quirk_of(next(filter(None, named), text_at(system, "Id")), text_at(system, "Model"))

    def _console_way(self) -> tuple[str | None, int | None]:
        """Where the console is read over HTTP (the lab's BMCs); else IPMI's port. SSH consoles differ by vendor."""
        system = self._fresh()
        link = text_at(system, "Oem", "Bmk", "SerialConsole", "@odata.id")
        types = consoles_of(system, self._near(system, "ManagedBy"))
        if link is None and "IPMI" not in types:
            raise BmcError(
                f"this BMC does not offer its console over IPMI (it offers: {', '.join(types) or 'none'})",
                where=self._access.address,
                hint="read it with the vendor's own way (often `ssh <user>@<bmc>`), or enable IPMI over LAN on the BMC",
            )
        port = number_at(system, "SerialConsole", "IPMI", "Port")
        return link, int(port) if port else None

    # -- the connection ---------------------------------------------------------------------------------------------

    def _call(self, what: str, operation: Callable[[], T]) -> T:
        def guarded() -> T:
            with self._translated(what):
                result = operation()
                if self._login is not None:
                    self._login.took()
                return result

        if self._line is not None:
            self._line.begin()
        return persist(self._access, what, guarded)

    def _enter(self) -> None:
        if self._conn is None:
            self._connect()
        if not self._root:
            self._root = self._get(ROOT)  # what the BMC shows to everybody: nothing of us is sent
        if self._login is not None and not self._login.inside:
            self._login.enter(self._root)

    def _fresh(self) -> Json:
        """The one system, read again."""
        self._enter()
        return self._get(self._where())

    def _where(self) -> str:
        """Path of the one system; looked for once."""
        if not self._path:
            self._path = self._system()
        return self._path

    def _connect(self) -> None:
        """Make ready to send; nothing is sent yet."""
        import sushy.connector  # noqa: PLC0415 - imported late: slow

        from bmk.bmc.https import OneOrigin, restrict_session  # noqa: PLC0415 - requests costs as much
        from bmk.bmc.login import Login  # noqa: PLC0415 - imported late: slow

        logging.getLogger("sushy").propagate = False  # what it would say there, we say as events
        url = f"https://{self._access.address}:{self._access.port or 443}"
        self._conn = sushy.connector.Connector(url, server_side_retries=1, server_side_retries_delay=0)
        self._line = OneOrigin(self._access, url)
        self._login = Login(self._access, self._conn._session, url)
        restrict_session(self._conn._session, self._line)

    def _drive(self, link: str) -> Any:
        """A virtual drive as sushy has it, which knows what each BMC wants to hear."""
        from sushy.resources.manager.virtual_media import VirtualMedia as Drive  # noqa: PLC0415 - imported late: slow

        return Drive(self._conn, link)

    def _system(self) -> str:
        """Where the one system is. While a BMC starts, it may show none yet."""
        found = list(links_of(list(members(self._get, text_at(self._root, "Systems", "@odata.id")))))
        if not found:
            raise Busy("it shows no system; it may be starting")
        self._alone = len(found) == 1
        chosen = found[0] if self._alone else system_of(self._part, found, self._access.machine)
        if chosen is None:
            names = ", ".join(link.rstrip("/").rpartition("/")[2] for link in found[:8])
            raise BmcError(
                f"the BMC manages {len(found)} systems ({names}), and none or several of them could be this machine",
                where=self._access.address,
                why="neither serial nor UUID of the file is that of exactly one which can be switched",
                hint="write the host's bmc: {system: ID}, correct its serial, or give the address of its own BMC",
            )
        return chosen

    def _get(self, path: str) -> Json:
        answer = self._conn.get(path).json()
        if not isinstance(answer, dict):
            raise TypeError(f"{path[:100]} is {type(answer).__name__}, not an object")
        return answer

    def _near(self, system: Json, relation: str) -> list[Json]:
        """What a system links to; where it links to nothing and is the only one, all that the BMC shows."""
        found = linked(self._part, system, relation)
        if found or not self._alone:
            return found
        return parts(self._part, text_at(self._root, COLLECTIONS[relation], "@odata.id"))

    def _part(self, path: str) -> Json:
        """A document that may be lacking. Raises Lacking; what is there and cannot be read is an event, once."""
        import sushy.exceptions as errors  # noqa: PLC0415 - imported late: slow

        try:
            return self._get(path)
        except errors.HTTPError as error:
            if error.status_code not in NOT_THERE:
                raise
            why = "" if error.status_code == GONE else f"HTTP {error.status_code}"
        except ODD as error:
            why = f"{type(error).__name__}: {error}"[:200]
        if why and path not in self._unread:
            self._unread.add(path)
            self._access.tell("bmc.unread", f"the BMC does not show {path[:200]}: {why}; left out")
        raise Lacking(why)

    def _there(self, link: str | None) -> Json:
        import sushy.exceptions as errors  # noqa: PLC0415 - imported late: slow

        try:
            return self._get(link) if link else {}
        except errors.ResourceNotFoundError:
            return {}

    def _tagged(self, link: str | None) -> tuple[str, str | None]:
        self._enter()
        path = link or self._where()
        answer = self._conn.get(path)
        return path, answer.headers.get("ETag") or text_at(answer.json(), "@odata.etag")

    def _patch(self, path: str, body: Json, etag: str | None) -> None:
        import sushy.exceptions as errors  # noqa: PLC0415 - imported late: slow

        try:
            self._conn.patch(path, data=body, etag=etag)
        except errors.AccessError:
            raise
        except errors.HTTPError as error:
            if self._passes(error):
                raise
            raise reason_of(self._access, str(error)) or BmcIgnores(
                "the BMC refuses the boot override", where=self._access.address, why=str(error), hint=BY_HAND
            ) from None

    def _get_bytes(self, path: str) -> bytes:
        content: bytes = self._conn.get(path).content
        return content

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """sushy's errors as ours: Busy when trying again may help, BmcError when it will not."""
        import sushy.exceptions as errors  # noqa: PLC0415 - imported late: slow

        try:
            yield
        except errors.AccessError as error:
            assert self._login is not None  # noqa: S101 - somebody answered
            raise self._login.login_error(error.status_code, str(error)) from None
        except errors.HTTPError as error:
            if self._passes(error):
                raise Busy(f"HTTP {error.status_code}") from None
            raise reason_of(self._access, str(error)) or _refused(self._access, what, str(error)) from None
        except (errors.SushyError, OSError) as error:  # requests' errors are OSErrors
            raise _refused(self._access, what, str(error)) from None

    def _passes(self, error: Any) -> bool:
        """Whether an HTTP error is a state that passes: the BMC is busy, or starts."""
        starting = error.status_code == GONE and not self._path
        return starting or error.status_code in BUSY_CODES or any(word in str(error) for word in BUSY_WORDS)


def _refused(access: Access, what: str, why: str) -> BmcError:
    return BmcError(
        f"the BMC did not {what}", where=access.address, why=why, hint="check the BMC's firmware version and licence"
    )
