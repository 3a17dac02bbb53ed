"""Redfish documents, as values. Pure. Whatever a document holds, reading it ends in a value or in None."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bmk.bmc.ipmi_events import severity_of
from bmk.bmc.protocol import InventoryDisk, LogEntry, Severity
from bmk.identity import mac_of, serial_of

Json = Mapping[str, Any]
_LONGEST = 1000  # characters of a text that is kept
_SAID = 300  # characters of an error that is shown
_LARGEST = 2**63
_TARGET = "BootSourceOverrideTarget"
# Redfish has three words for it; some BMCs use those of their other interfaces.
_SEVERITIES: dict[Severity, tuple[str, ...]] = {
    "Critical": ("critical", "fatal", "major", "error", "nonrecoverable", "non-recoverable", "emergency", "alert"),
    "Warning": ("warning", "minor", "caution", "degraded", "noncritical", "non-critical"),
}


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
    enabled, target = text_at(system, "Boot", "BootSourceOverrideEnabled"), text_at(system, "Boot", _TARGET)
    return Override(enabled, target, text_at(system, "Boot", "BootSourceOverrideMode"))


def offered(system: Json, name: str) -> list[str]:
    """The values that a BMC takes for a property of the boot override; none where it does not say."""
    found = at(system, "Boot", f"{name}@Redfish.AllowableValues")
    if found is None and name == _TARGET:
        found = at(system, "Boot", "BootSourceOverrideSupported")  # before Redfish 1.0
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


def settings_of(system: Json) -> str | None:
    """Where the settings for after the next reset are, when the BMC keeps them apart."""
    return text_at(system, "@Redfish.Settings", "SettingsObject", "@odata.id")


def same_override(seen: Override, wanted: Override) -> bool:
    """Whether what was read is what was written; a mode that is not reported is not compared."""
    return (seen.enabled, seen.target) == (wanted.enabled, wanted.target) and seen.mode in (None, wanted.mode)


def disk_of(drive: Json) -> InventoryDisk:
    """A Drive document."""
    names = {i.get("DurableNameFormat"): i.get("DurableName") for i in objects(drive.get("Identifiers"))}
    media = text_at(drive, "MediaType")
    return InventoryDisk(
        name=text_at(drive, "Name") or text_at(drive, "Id") or "",
        size=int(number_at(drive, "CapacityBytes") or 0),
        serial=serial_of(text_at(drive, "SerialNumber")),
        wwn=lower_of(names.get("NAA")),
        model=text_at(drive, "Model"),
        rotational=None if media is None else media == "HDD",
    )


def oems_of(document: Json) -> list[str]:
    """The makers whose own properties a document has."""
    oem = at(document, "Oem")
    return [str(name) for name in oem] if isinstance(oem, Mapping) else []


def consoles_of(system: Json, managers: Iterable[Json]) -> list[str]:
    """The ways to the serial console that a BMC offers, in Redfish's words: newer ones say it of the system."""
    found = [way for way in ("IPMI", "SSH", "Telnet") if at(system, "SerialConsole", way, "ServiceEnabled") is True]
    offers = [at(manager, "SerialConsole", "ConnectTypesSupported") for manager in managers]
    return [*found, *(str(way) for offer in offers if isinstance(offer, list) for way in offer)]


def macs_in(part: Json) -> list[str]:
    """MACs in the document of a NIC, of its port or of a function: the permanent one where there are both. An iLO 4 has
    those of the system in the system itself.
    """
    ethernet = at(part, "Ethernet")
    pairs = ((one, ("PermanentMACAddress", "MACAddress")) for one in (part, ethernet))
    single = (next((mac for key in keys if (mac := mac_of(text_at(one, key)))), None) for one, keys in pairs)
    lists = (
        at(part, "AssociatedNetworkAddresses"),
        at(ethernet, "AssociatedMACAddresses"),
        at(part, "HostCorrelation", "HostMACAddress"),
    )
    listed = (mac_of(text_of(value)) for values in lists if isinstance(values, list) for value in values)
    return [mac for mac in (*single, *listed) if mac]


def log_entry_of(entry: Json) -> LogEntry:
    """A LogEntry document. Where it has no text, the id of its message or of its sensor says what happened."""
    created = text_at(entry, "Created") or text_at(entry, "EventTimestamp") or ""
    moment = moment_of(created)
    when = moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment and moment.tzinfo else created
    return LogEntry(when, _severity(entry), text_at(entry, "Message") or _message(entry))


def _severity(entry: Json) -> Severity:
    word = (text_at(entry, "Severity") or text_at(entry, "MessageSeverity") or "").lower()
    if not word:
        return severity_of(text_at(entry, "EntryCode") or "")
    return next((severity for severity, words in _SEVERITIES.items() if word in words), "OK")


def _message(entry: Json) -> str:
    """`registry.message (arguments)`, or what a sensor says."""
    arguments = at(entry, "MessageArgs")
    more = ", ".join(filter(None, map(text_of, arguments))) if isinstance(arguments, list) else ""
    named = text_at(entry, "MessageId") or " ".join(
        word for key in ("SensorType", "SensorNumber", "EntryCode") if (word := text_at(entry, key))
    )
    return (f"{named} ({more})" if more else named) or text_at(entry, "Name") or ""


def moment_of(text: str | None) -> datetime | None:
    """A time as ISO 8601 writes it; None for what is none."""
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None


def next_of(page: Json, link: str) -> str | None:
    """Link of the page after this one, which was read from `link`, in the three spellings there are."""
    found = text_at(page, "Members@odata.nextLink") or text_at(page, "@odata.nextLink")
    number = text_at(page, "links", "NextPage", "page")  # iLO 4
    return found or (f"{link.partition('?')[0]}?page={number}" if number else None)


def at(document: object, *path: str) -> Any:
    """The value at a path of keys; None where anything on the way is missing or of another kind."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def text_at(document: object, *path: str) -> str | None:
    return text_of(at(document, *path))


def number_at(document: object, *path: str) -> float | None:
    """A number, also where a BMC writes it as text; None for what is none, negative, or beyond all machines."""
    value = at(document, *path)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number < _LARGEST else None


def links_of(members: object) -> Iterator[str]:
    """Links in a list of links; what is none is passed over."""
    return (link for member in objects(members) if (link := text_at(member, "@odata.id")))


def objects(values: object) -> list[Json]:
    """The objects in what should be a list of them; one alone counts as a list."""
    found = values if isinstance(values, list) else [values]
    return [value for value in found if isinstance(value, Mapping)]


def words_of(body: bytes) -> str:
    """What an error says, with the ids of its messages; "" when it is no error as Redfish words them."""
    try:
        error = at(json.loads(body), "error")
    except (ValueError, RecursionError):
        return ""
    said = [error, *objects(at(error, "@Message.ExtendedInfo"))]
    words = [text_at(one, key) for one in said for key in ("code", "MessageId", "message", "Message")]
    return "; ".join(dict.fromkeys(filter(None, words)))[:_SAID]


def text_of(value: object) -> str | None:
    """Without blanks around it; None for nothing, and for what is no scalar."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:_LONGEST].strip() or None


def lower_of(value: object) -> str | None:
    """Like text_of, in lower case."""
    text = text_of(value)
    return text.lower() if text else None
