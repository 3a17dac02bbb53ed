"""Redfish documents, as values. Pure. Whatever a document holds, reading it ends in a value or in None."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bmk.bmc.protocol import Disk, LogEntry

Json = Mapping[str, Any]
_LONGEST = 1000  # characters of a text that is kept
_SAID = 300  # characters of an error that is shown
_LARGEST = 2**63
_TARGET = "BootSourceOverrideTarget"


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


def settings_of(system: Json) -> str | None:
    """Where the settings for after the next reset are, when the BMC keeps them apart."""
    return text_at(system, "@Redfish.Settings", "SettingsObject", "@odata.id")


def same_override(seen: Override, wanted: Override) -> bool:
    """Whether what was read is what was written; a mode that is not reported is not compared."""
    return (seen.enabled, seen.target) == (wanted.enabled, wanted.target) and seen.mode in (None, wanted.mode)


def disk_of(drive: Json) -> Disk:
    """A Drive document."""
    names = {i.get("DurableNameFormat"): i.get("DurableName") for i in objects(drive.get("Identifiers"))}
    media = text_at(drive, "MediaType")
    return Disk(
        name=text_at(drive, "Name") or text_at(drive, "Id") or "",
        size=int(number_at(drive, "CapacityBytes") or 0),
        serial=text_at(drive, "SerialNumber"),
        wwn=lower_of(names.get("NAA")),
        model=text_at(drive, "Model"),
        rotational=None if media is None else media == "HDD",
    )


def log_entry_of(entry: Json) -> LogEntry:
    """A LogEntry document."""
    text = text_at(entry, "Message") or text_at(entry, "MessageId") or ""
    return LogEntry(text_at(entry, "Created") or "", text_at(entry, "Severity") or "OK", text)


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
