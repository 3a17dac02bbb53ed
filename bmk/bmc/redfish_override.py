"""Where a Redfish BMC lets its machine boot next. Every write is read back; imports nothing of sushy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from bmk.bmc.access import Access
from bmk.bmc.protocol import BootTarget, Firmware
from bmk.bmc.quirks import Quirk, send_mode
from bmk.bmc.redfish_text import Json, Override, offered, override_of, same_override, settings_of
from bmk.bmc.retry import bmc_errors_only, read_back_error, settle
from bmk.errors import BmcIgnores, ConfigError

T = TypeVar("T")
Overrides = tuple[Override, ...]

TARGETS: dict[BootTarget, str] = {"pxe": "Pxe", "http": "UefiHttp", "disk": "Hdd"}
MODES: dict[Firmware, str] = {"uefi": "UEFI", "bios": "Legacy"}
INSTEAD: dict[BootTarget, str] = {
    "http": "set `boot: pxe` in the profile",
    "pxe": "set `boot: http` in the profile, if the BMC offers UefiHttp; else enable network boot in the firmware",
}
BY_HAND = "update the BMC's firmware, or set the boot order by hand and check `boot` in the profile"
DISK = (None, "None", "Hdd")  # targets that mean: as ever, from the disk
SETTLE = 10.0  # seconds until a BMC shows an override that it took


@bmc_errors_only
class BootOverride(ABC):
    """The part of RedfishBmc that says where the next boot goes."""

    _access: Access

    @abstractmethod
    def _call(self, what: str, operation: Callable[[], T]) -> T:
        """Run one request, with patience and with sushy's errors as ours."""

    @abstractmethod
    def _fresh(self) -> Json:
        """The one system, read again."""

    @abstractmethod
    def _quirk(self, system: Json) -> Quirk:
        """What is known of this model."""

    @abstractmethod
    def _there(self, link: str | None) -> Json:
        """A document; an empty one where there is none. One that cannot be read now is waited for."""

    @abstractmethod
    def _tagged(self, link: str | None) -> tuple[str, str | None]:
        """Path of a document and its ETag as it is now; of the system where there is no link."""

    @abstractmethod
    def _patch(self, path: str, body: Json, etag: str | None) -> None:
        """Raises BmcIgnores when the BMC does not take it in this form."""

    def set_boot_once(self, target: BootTarget, firmware: Firmware) -> None:
        if target == "http" and firmware == "bios":
            raise ConfigError(
                "HTTP boot needs UEFI firmware",
                where=self._access.address,
                hint="set `boot: pxe` or `firmware: uefi` in the profile",
            )
        wanted = Override("Once", TARGETS[target], MODES[firmware])
        system = self._call("report the boot override", self._fresh)
        self._check_offered(target, offered(system, "BootSourceOverrideTarget"))
        came_true, all_seen = self._until(
            lambda seen: _shown(seen, wanted) is not None, _forms(wanted, system, self._quirk(system)), SETTLE
        )
        seen = _shown(all_seen, wanted) or all_seen[-1]
        if not came_true:
            raise read_back_error(
                self._access,
                f"the BMC accepted the boot override and ignores it: wanted {wanted}; it reports {seen}",
                kind=BmcIgnores,
                why="the next boot would not be from the network, so the machine was not powered on",
                hint="update the BMC's firmware, or set the boot order by hand and check `firmware` in the profile",
            )
        self._access.tell("bmc.boot", f"next boot: {seen}, read back", target=target, firmware=firmware)

    def clear_boot_once(self) -> None:
        if _cleared(self._overrides()):
            return
        system = self._call("report the boot override", self._fresh)
        came_true, seen = self._until(
            _cleared, _clearing_forms(system, self._quirk(system)), self._access.timing.settle
        )
        if not came_true:
            raise read_back_error(
                self._access,
                f"the BMC keeps the boot override: {seen[-1]}",
                why="the machine would boot from the network again",
                hint="clear the override by hand (BMC web page, boot order), then run the same command again",
            )
        self._access.tell("bmc.boot", "boot override cleared, read back")

    def boot_override(self) -> str:
        seen = self._overrides()[-1]
        return "" if _is_disk(seen) else str(seen)

    def _check_offered(self, target: BootTarget, targets: Sequence[str]) -> None:
        if targets and TARGETS[target] not in targets:
            raise BmcIgnores(
                f"this BMC cannot be told to boot by {target}",
                where=self._access.address,
                why=f"it offers {', '.join(targets)}",
                hint=INSTEAD.get(target, "update the BMC's firmware"),
            )

    def _until(
        self, done: Callable[[Overrides], bool], forms: Sequence[Json], seconds: float
    ) -> tuple[bool, Overrides]:
        """Write one form after the other until what is read back, for so many seconds at most, is `done`.

        Whether it is, and the last reading. Raises what the BMC said to the last form where it refused every one.
        """
        timing = replace(self._access.timing, settle=min(seconds, self._access.timing.settle))
        seen: Overrides = ()
        refused = BmcIgnores("the BMC takes no such boot override", where=self._access.address, hint=BY_HAND)
        for boot in forms:
            try:
                self._call("set the next boot", partial(self._write, boot))
            except BmcIgnores as error:
                refused = error
                continue
            came_true, seen = settle(replace(self._access, timing=timing), self._overrides, done)
            if came_true:
                return True, seen
            self._access.tell("bmc.ignored", f"BMC took the override and shows: {seen[-1]}", "warning")
        if not seen:
            raise refused
        return False, seen

    def _write(self, boot: Json) -> None:
        """To the settings for after the next reset where the BMC has the override there (AMI), else to the system."""
        link = settings_of(self._fresh())
        apart = override_of(self._there(link)).enabled is not None
        path, etag = self._tagged(link if apart else None)
        self._patch(path, {"Boot": boot}, etag)

    def _overrides(self) -> Overrides:
        """What is in force, and what will be after the next reset where the BMC keeps that apart (AMI)."""

        def read() -> Overrides:
            system = self._fresh()
            documents = [system, self._there(settings_of(system))]
            return tuple(o for o in map(override_of, documents) if o.enabled is not None)

        seen = self._call("report the boot override", read)
        return seen or (Override(None, None, None),)


def _forms(wanted: Override, system: Json, quirk: Quirk) -> list[Json]:
    """The same wish in the words that BMCs want it in, the likeliest first: with the firmware's mode or without."""
    plain = {"BootSourceOverrideEnabled": wanted.enabled, "BootSourceOverrideTarget": wanted.target}
    full = {**plain, "BootSourceOverrideMode": wanted.mode}
    first = full if send_mode(quirk.mode, override_of(system).mode, str(wanted.mode)) else plain
    return [first, plain if first is full else full]


def _clearing_forms(system: Json, quirk: Quirk) -> list[Json]:
    """Disabled, where the BMC has it; else the disk as target, once."""
    mode, targets = override_of(system).mode, offered(system, "BootSourceOverrideTarget")
    disabled: dict[str, Any] = {"BootSourceOverrideEnabled": "Disabled"}
    forms = [disabled | {"BootSourceOverrideTarget": quirk.clear_target}, disabled]
    if targets and quirk.clear_target not in targets:
        forms = forms[1:]
    if "Disabled" not in (offered(system, "BootSourceOverrideEnabled") or ("Disabled",)):
        forms = []
    forms += [{"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": t} for t in ("None", "Hdd")]
    if mode and quirk.mode == "always":
        forms = [form | {"BootSourceOverrideMode": mode} for form in forms]
    return [form for form in forms if not targets or form.get("BootSourceOverrideTarget", targets[0]) in targets]


def _is_disk(seen: Override) -> bool:
    return seen.enabled in (None, "Disabled") or seen.target in DISK


def _cleared(seen: Overrides) -> bool:
    return all(map(_is_disk, seen))


def _shown(seen: Overrides, wanted: Override) -> Override | None:
    return next((one for one in seen if same_override(one, wanted)), None)
