"""Redfish documents, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bmk.bmc.protocol import Disk, LogEntry

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Override:
    """The boot override as the BMC reports it; None: the BMC does not report the property."""

    enabled: str | None
    target: str | None
    mode: str | None

    def __str__(self) -> str:
        return f"{self.target}, {self.enabled}, mode {self.mode or 'not reported'}"


def override_of(system: Json) -> Override:
    """The boot override in a ComputerSystem document."""
    boot = system.get("Boot") or {}
    enabled, target = boot.get("BootSourceOverrideEnabled"), boot.get("BootSourceOverrideTarget")
    return Override(enabled, target, boot.get("BootSourceOverrideMode"))


def settings_of(system: Json) -> str | None:
    """Where the settings for after the next reset are, when the BMC keeps them apart."""
    link = ((system.get("@Redfish.Settings") or {}).get("SettingsObject") or {}).get("@odata.id")
    return str(link) if link else None


def same_override(seen: Override, wanted: Override) -> bool:
    """Whether what was read is what was written; a mode that is not reported is not compared."""
    return (seen.enabled, seen.target) == (wanted.enabled, wanted.target) and seen.mode in (None, wanted.mode)


def disk_of(drive: Json) -> Disk:
    """A Drive document."""
    names = {i.get("DurableNameFormat"): i.get("DurableName") for i in drive.get("Identifiers") or ()}
    media = drive.get("MediaType")
    return Disk(
        name=str(drive.get("Name") or drive.get("Id")),
        size=int(drive.get("CapacityBytes") or 0),
        serial=text_of(drive.get("SerialNumber")),
        wwn=lower_of(names.get("NAA")),
        model=text_of(drive.get("Model")),
        rotational=None if media is None else media == "HDD",
    )


def log_entry_of(entry: Json) -> LogEntry:
    """A LogEntry document."""
    at, severity = entry.get("Created") or "", entry.get("Severity") or "OK"
    return LogEntry(str(at), str(severity), str(entry.get("Message") or ""))


def text_of(value: object) -> str | None:
    """Without blanks around it; None for nothing."""
    return str(value).strip() or None if value is not None else None


def lower_of(value: object) -> str | None:
    """Like text_of, in lower case."""
    text = text_of(value)
    return text.lower() if text else None
