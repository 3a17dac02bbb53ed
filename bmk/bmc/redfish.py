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
from bmk.bmc.patience import Busy, persist, settle
from bmk.bmc.protocol import BootTarget, Disk, Firmware, Identity, Inventory, LogEntry, Power, PowerAction
from bmk.bmc.quirks import Quirk, quirk_of, send_mode
from bmk.bmc.redfish_text import (
    Json,
    Override,
    disk_of,
    log_entry_of,
    lower_of,
    override_of,
    same_override,
    settings_of,
    text_of,
)
from bmk.errors import BmcError, BmcIgnores, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

TARGETS: dict[BootTarget, str] = {"pxe": "Pxe", "http": "UefiHttp", "disk": "Hdd"}
MODES: dict[Firmware, str] = {"uefi": "UEFI", "bios": "Legacy"}
RESETS: dict[Power, tuple[str, ...]] = {"on": ("On", "ForceOn"), "off": ("ForceOff",)}
POWER: dict[str, Power] = {"On": "on", "PoweringOff": "on", "Off": "off", "PoweringOn": "off"}
BUSY_CODES = frozenset({429, 500, 502, 503, 504})
BUSY_WORDS = ("UnableToModifyDuringSystemPOST", "SYS518", "InvalidOperationForSystemState")
LOG_LIMIT = 200


class RedfishBmc:
    """One BMC with one system. Nothing is asked of it before the first call."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._root: Any = None
        self._path = ""

    def identity(self) -> Identity:
        def read() -> Identity:
            system = self._fresh()
            quirk = _quirk(system)
            return Identity(
                uuid=lower_of(system.json.get("UUID")),
                serial=text_of(system.json.get(quirk.serial_field)),
                macs=_macs(system),
                manufacturer=text_of(system.json.get("Manufacturer")),
                model=text_of(system.json.get("Model")),
                bmc_version=_optional(lambda: system.managers[0].firmware_version),
            )

        return self._call("say who the machine is", read)

    def inventory(self) -> Inventory:
        def read() -> Inventory:
            system = self._fresh()
            memory = (system.json.get("MemorySummary") or {}).get("TotalSystemMemoryGiB")
            return Inventory(
                cpus=(system.json.get("ProcessorSummary") or {}).get("Count"),
                memory=int(memory * 2**30) if memory else None,
                disks=_optional(lambda: _drives(system)) or (),
            )

        return self._call("list its hardware", read)

    def power(self) -> Power:
        return self._call("report its power state", lambda: self._power(self._fresh()))

    def set_power(self, action: PowerAction) -> None:
        if action == "cycle":
            self.set_power("off")
            action = "on"
        if not self._call(f"switch power {action}", lambda: self._switch(action)):
            self._access.tell("bmc.power", f"power is {action} already", power=action)
            return
        came_true, seen = settle(self._access, self.power, lambda power: power == action)
        if not came_true:
            raise self._lie(
                f"the BMC accepted power {action} and still reports {seen}",
                why=f"read back for {self._access.timing.settle:.0f} s; some BMCs report a stale power state",
                hint="look at the console; restart the BMC (not the machine), then run the same command again",
            )
        self._access.tell("bmc.power", f"power {action}, read back", power=action)

    def set_boot_once(self, target: BootTarget, firmware: Firmware) -> None:
        if target == "http" and firmware == "bios":
            raise ConfigError(
                "HTTP boot needs UEFI firmware",
                where=self._access.address,
                hint="set `boot: pxe` or `firmware: uefi` in the profile",
            )
        wanted = Override("Once", TARGETS[target], MODES[firmware])
        seen = self._write_override(wanted)
        if not same_override(seen, wanted):
            self._access.tell("bmc.ignored", f"BMC took the override and kept: {seen}; writing it once more", "warning")
            seen = self._write_override(wanted, insist=True)
        if not same_override(seen, wanted):
            what = f"the BMC accepted the boot override and ignores it: wanted {wanted}; it reports {seen}"
            self._access.tell("bmc.lie", what, "error")
            raise BmcIgnores(
                what,
                where=self._access.address,
                why="the next boot would not be from the network, so the machine was not powered on",
                hint="update the BMC's firmware, or set the boot order by hand and check `firmware` in the profile",
            )
        self._access.tell("bmc.boot", f"next boot: {seen}, read back", target=target, firmware=firmware)

    def clear_boot_once(self) -> None:
        if _cleared(self._overrides()):
            return
        self._call("disable the boot override", self._disable_override)
        came_true, seen = settle(self._access, self._overrides, _cleared)
        if not came_true:
            raise self._lie(
                f"the BMC keeps the boot override: {seen[-1]}",
                why="the machine would boot from the network again",
                hint="clear the override by hand (BMC web page, boot order), then run the same command again",
            )
        self._access.tell("bmc.boot", "boot override cleared, read back")

    def event_log(self) -> list[LogEntry]:
        return self._call("read its event log", lambda: [log_entry_of(e) for e in self._log_members()])

    def console(self, path: Path, stop: Callable[[], bool]) -> None:
        from bmk.bmc import ipmi  # noqa: PLC0415 - only for BMCs that offer the console over IPMI

        offset, link = 0, self._call("describe its console", self._console_link)
        if link is None:
            ipmi.IpmiBmc(self._over_ipmi()).console(path, stop)
            return
        while not stop():
            text = self._call("show its console", partial(self._get_bytes, f"{link}?offset={offset}"))
            with path.open("ab") as log:
                log.write(text)
            offset += len(text)
            self._access.sleep(self._access.timing.poll)

    def hang_up(self) -> None:
        if self._root is not None:
            self._root._conn.close()

    # -- one request each; raise Busy or BmcError -------------------------------------------------------------------

    def _power(self, system: Any) -> Power:
        state = system.json.get("PowerState")
        if state not in POWER:
            raise BmcError(
                f"the BMC reports no usable power state ({state!r})",
                where=self._access.address,
                hint="restart the BMC, then run the same command again",
            )
        return POWER[state]

    def _switch(self, power: Power) -> bool:
        """Ask for a power state; False when it is there already."""
        import sushy  # noqa: PLC0415 - 0.2 s that `bmk --help` must not pay

        system = self._fresh()
        if self._power(system) == power:
            return False
        allowed = {v.value for v in system.get_allowed_reset_system_values()}
        value = next((v for v in RESETS[power] if v in allowed), RESETS[power][0])
        system.reset_system(sushy.ResetType(value))
        return True

    def _write_override(self, wanted: Override, insist: bool = False) -> Override:
        def write() -> None:
            import sushy  # noqa: PLC0415

            system = self._fresh()
            rule = "always" if insist else _quirk(system).mode
            mode = send_mode(rule, override_of(system.json).mode, str(wanted.mode))
            system.set_system_boot_options(
                target=sushy.BootSource(wanted.target),
                enabled=sushy.BootSourceOverrideEnabled.ONCE,
                mode=sushy.BootSourceOverrideMode(wanted.mode) if mode else None,
            )

        self._call("set the next boot", write)
        _, seen = settle(self._quick, self._overrides, lambda seen: any(same_override(one, wanted) for one in seen))
        return next((one for one in seen if same_override(one, wanted)), seen[-1])

    def _disable_override(self) -> None:
        import sushy  # noqa: PLC0415

        system = self._fresh()
        quirk, offered = _quirk(system), {v.value for v in system.get_allowed_system_boot_source_values()}
        mode = override_of(system.json).mode
        system.set_system_boot_options(
            target=sushy.BootSource(quirk.clear_target) if quirk.clear_target in offered else None,
            enabled=sushy.BootSourceOverrideEnabled.DISABLED,
            mode=sushy.BootSourceOverrideMode(mode) if mode and quirk.mode == "always" else None,
        )

    def boot_override(self) -> str:
        seen = self._overrides()[-1]
        elsewhere = seen.enabled in ("Once", "Continuous") and seen.target not in (None, "None", "Hdd")
        return str(seen) if elsewhere else ""

    def _overrides(self) -> tuple[Override, ...]:
        """What is in force, and what will be after the next reset where the BMC keeps that apart (AMI)."""

        def read() -> tuple[Override, ...]:
            system = self._fresh().json
            link = settings_of(system)
            documents = [system, *([self._get(link)] if link else [])]
            return tuple(override_of(d) for d in documents if "BootSourceOverrideEnabled" in (d.get("Boot") or {}))

        seen = self._call("report the boot override", read)
        return seen or (Override(None, None, None),)

    def _log_members(self) -> list[Json]:
        system = self._fresh()
        holders = [system.json, *(m.json for m in _optional(lambda: system.managers) or ())]
        link = next((h["LogServices"]["@odata.id"] for h in holders if "LogServices" in h), None)
        services = [self._get(m["@odata.id"]) for m in self._get(link)["Members"]] if link else []
        chosen = [s for s in services if str(s.get("Id", "")).lower() == "sel"] or services
        entries = [e for s in chosen if "Entries" in s for e in self._get(s["Entries"]["@odata.id"])["Members"]]
        if len(entries) > LOG_LIMIT:  # some list the newest first, some the oldest
            entries = [*entries[: LOG_LIMIT // 2], *entries[-LOG_LIMIT // 2 :]]
        return [e if "Message" in e else self._get(e["@odata.id"]) for e in entries]

    def _console_link(self) -> str | None:
        """Where the console is read over HTTP (the lab's BMCs); None: over IPMI. SSH consoles differ by vendor."""
        system = self._fresh()
        link = ((system.json.get("Oem") or {}).get("Bmk") or {}).get("SerialConsole", {}).get("@odata.id")
        managers = _optional(lambda: system.managers) or ()
        types = [t for m in managers for t in (m.json.get("SerialConsole") or {}).get("ConnectTypesSupported", ())]
        if link is None and "IPMI" not in types:
            raise BmcError(
                f"this BMC does not offer its console over IPMI (it offers: {', '.join(types) or 'none'})",
                where=self._access.address,
                hint="read it with the vendor's own way (often `ssh <user>@<bmc>`), or enable IPMI over LAN on the BMC",
            )
        return str(link) if link else None

    # -- the connection ---------------------------------------------------------------------------------------------

    @property
    def _quick(self) -> Access:
        """For reading back an override: BMCs that take it show it within seconds."""
        return replace(self._access, timing=replace(self._access.timing, settle=min(10.0, self._access.timing.settle)))

    def _over_ipmi(self) -> Access:
        return replace(self._access, port=None)

    def _call(self, what: str, operation: Callable[[], T]) -> T:
        def guarded() -> T:
            with _translated(self._access, what):
                return operation()

        return persist(self._access, what, guarded)

    def _fresh(self) -> Any:
        """The one system, read again. A new object, because refreshing one reads again all that hangs on it."""
        if self._root is None:
            self._root, self._path = self._connect()
        return self._root.get_system(self._path)

    def _connect(self) -> tuple[Any, str]:
        import sushy  # noqa: PLC0415
        import sushy.auth  # noqa: PLC0415
        import sushy.connector  # noqa: PLC0415

        logging.getLogger("sushy").propagate = False  # what it would say there, we say as events
        timing, user = self._access.timing, self._access.credentials
        url = f"https://{self._access.address}:{self._access.port or 443}"
        connector = sushy.connector.Connector(
            url,
            verify=self._access.verify_tls,
            tls_min_version="1.2",
            server_side_retries=1,
            server_side_retries_delay=0,
            default_request_timeout=timing.request,
            connect_timeout=timing.connect,
        )
        # A handshake costs a BMC's processor up to a second, so one conversation is one connection: `hang_up` ends it.
        # sushy would close after each request, for BMCs that do not bear connections which last.
        connector._session.headers.pop("Connection", None)
        # Basic, not sessions: a killed run leaves no session behind, and BMCs have few
        login = sushy.auth.BasicAuth(username=user.username, password=user.password.reveal())
        root = sushy.Sushy(url, auth=login, connector=connector)
        systems = root.get_system_collection().members_identities
        if len(systems) != 1:
            raise BmcError(
                f"the BMC manages {len(systems)} systems, bmk handles BMCs of one",
                where=self._access.address,
                hint="give the address of the node's own BMC, not the chassis manager's",
            )
        return root, systems[0]

    def _get(self, path: str) -> Json:
        answer: Json = self._root._conn.get(path).json()
        return answer

    def _get_bytes(self, path: str) -> bytes:
        content: bytes = self._root._conn.get(path).content
        return content

    def _lie(self, what: str, why: str, hint: str) -> BmcError:
        self._access.tell("bmc.lie", what, "error")
        return BmcError(what, where=self._access.address, why=why, hint=hint)


@contextmanager
def _translated(access: Access, what: str) -> Iterator[None]:
    """sushy's errors as ours: Busy when trying again may help, BmcError when it will not."""
    import sushy.exceptions as errors  # noqa: PLC0415

    try:
        yield
    except errors.AccessError:
        raise BmcError(
            "the BMC refuses this username and password",
            where=access.address,
            hint="correct the profile's BMC secret; some BMCs lock the account for minutes after wrong passwords",
        ) from None
    except errors.ConnectionError as error:
        if "CERTIFICATE_VERIFY" in str(error) or "certificate verify" in str(error):
            raise _untrusted(access) from None
        raise Busy("no answer") from None
    except errors.HTTPError as error:
        if error.status_code in BUSY_CODES or any(word in str(error) for word in BUSY_WORDS):
            raise Busy(f"HTTP {error.status_code}") from None
        raise _refused(access, what, str(error)) from None
    except errors.SushyError as error:
        raise _refused(access, what, str(error)) from None


def _untrusted(access: Access) -> BmcError:
    return BmcError(
        "the BMC's certificate is not signed by an authority that this machine trusts",
        where=access.address,
        hint="name your authority's file in REQUESTS_CA_BUNDLE, give the BMC a signed certificate, "
        "or set `verify_tls: false` in the profile's bmc",
    )


def _refused(access: Access, what: str, why: str) -> BmcError:
    return BmcError(
        f"the BMC did not {what}", where=access.address, why=why, hint="check the BMC's firmware version and licence"
    )


def _cleared(seen: tuple[Override, ...]) -> bool:
    return all(one.enabled == "Disabled" for one in seen)


def _quirk(system: Any) -> Quirk:
    return quirk_of(system.json.get("Manufacturer"), system.json.get("Model"))


def _macs(system: Any) -> tuple[str, ...]:
    interfaces = _optional(lambda: list(system.ethernet_interfaces.get_members())) or ()
    addresses = [i.json.get("PermanentMACAddress") or i.json.get("MACAddress") for i in interfaces]
    return tuple(dict.fromkeys(str(a).lower().replace("-", ":") for a in addresses if a))


def _drives(system: Any) -> tuple[Disk, ...]:
    return tuple(disk_of(d.json) for storage in system.storage.get_members() for d in storage.drives)


def _optional(read: Callable[[], T]) -> T | None:
    """A part that many BMCs lack: None when this one does."""
    import sushy.exceptions as errors  # noqa: PLC0415

    try:
        return read()
    except (errors.MissingAttributeError, errors.ResourceNotFoundError, IndexError):
        return None
