"""The event logs of a Redfish BMC: where they are, which of them tell of the hardware, and their newest entries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

from bmk.bmc.protocol import LOG_LIMIT, LogEntry
from bmk.bmc.redfish_documents import Get, Lacking, optional, pages, parts
from bmk.bmc.redfish_text import Json, at, log_entry_of, moment_of, number_at, objects, text_at

_LONGEST = 4000  # entries of a log that are looked at
# Logs of another kind, by id or name: what software did, memory images, boot progress, who logged in.
_OTHER = re.compile(r"journal|dump|post ?codes?|security|audit|operat(e|ion) ?log|run ?log|host ?logger|console", re.I)
_OTHER_PURPOSES = frozenset({"Security", "Telemetry"})


def log_of(get: Get, holders: Iterable[Json]) -> list[LogEntry] | None:
    """Entries of all logs of these holders (system, managers, chassis), each once; None when there is no log."""
    links = dict.fromkeys(link for h in holders if (link := text_at(h, "LogServices", "@odata.id")))
    services = [service for link in links for service in parts(get, link)]
    entries = [text_at(service, "Entries", "@odata.id") for service in services if _of_hardware(service)]
    logs = [log for link in dict.fromkeys(filter(None, entries)) if (log := _newest(get, link)) is not None]
    return list(dict.fromkeys(entry for log in logs for entry in log)) if logs else None


def _of_hardware(service: Json) -> bool:
    purposes = at(service, "LogPurposes")
    if isinstance(purposes, list) and purposes and _OTHER_PURPOSES.issuperset(map(str, purposes)):
        return False
    names = (text_at(service, "Id"), text_at(service, "Name"))
    return not any(_OTHER.search(name) for name in names if name)


def _newest(get: Get, link: str) -> list[LogEntry] | None:
    """Oldest first, as far as the log says; None when it cannot be read at all."""
    listed = _listed(get, link)
    if listed is None:
        return None
    order = _order(listed) or _order([*_whole(get, listed[:1]), *_whole(get, listed[-1:])])
    if order < 0:
        listed.reverse()
    if order:
        kept = listed[-LOG_LIMIT:]
    else:  # nothing tells which end is the newer one: some of both
        kept = listed if len(listed) <= LOG_LIMIT else [*listed[: LOG_LIMIT // 2], *listed[-LOG_LIMIT // 2 :]]
    return [log_entry_of(entry) for entry in _whole(get, kept) if not _audit(entry)]


def _listed(get: Get, link: str) -> list[Json] | None:
    """Entries or links to them, page by page until there are enough, or until one cannot be read."""
    found: list[Json] | None = None
    with suppress(Lacking):
        for page in pages(get, link):
            found = [*(found or ()), *objects(page.get("Members"))][:_LONGEST]
            if len(found) == _LONGEST or (len(found) >= LOG_LIMIT and _order(found) < 0):
                break
    return found


def _whole(get: Get, entries: Iterable[Json]) -> list[Json]:
    """The documents of entries, which some BMCs list as links."""
    documents = (e if _is_entry(e) else optional(get, text_at(e, "@odata.id")) for e in entries)
    return [document for document in documents if document is not None]


def _is_entry(listed: Json) -> bool:
    return any(key in listed for key in ("Message", "MessageId", "Created", "Severity"))


def _audit(entry: Json) -> bool:
    """What a user did, in a log of all things (Dell's lifecycle log)."""
    return text_at(entry, "Oem", "Dell", "Category") == "Audit"


def _order(entries: list[Json]) -> int:
    """Above 0: the oldest is first; below: the newest; 0: nobody knows. Most of the times decide, as some are wrong."""
    for key in (_when, lambda entry: number_at(entry, "Id")):
        values = [value for entry in entries if (value := key(entry)) is not None]
        order = sum((one < other) - (one > other) for one, other in pairwise(values))
        if order:
            return order
    return 0


def _when(entry: Json) -> float | None:
    moment = moment_of(text_at(entry, "Created"))
    return moment.timestamp() if moment else None
