"""Reading the documents of a Redfish BMC: collections page by page, and parts that one BMC has and another lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from bmk.bmc.access import Machine
from bmk.bmc.protocol import Disk, LogEntry
from bmk.bmc.redfish_text import Json, at, disk_of, links_of, log_entry_of, lower_of, objects, text_at

Get = Callable[[str], Json]
LOG_LIMIT = 200  # entries of a log that are read
_PAGES = 100
_MOST = 256  # parts of one kind that are read: no machine has as many NICs or drives


class Lacking(Exception):
    """A document that this BMC does not have or cannot show; `str()` says why."""


def members(get: Get, link: str | None) -> Iterator[Json]:
    """Members of a collection, page by page: links, or whole documents as event logs have them."""
    seen = set[str]()
    while link and link not in seen and len(seen) < _PAGES:
        seen.add(link)
        page = get(link)
        yield from objects(page.get("Members"))
        link = text_at(page, "Members@odata.nextLink")


def optional(get: Get, link: str | None) -> Json | None:
    """A part that many BMCs lack, or fail to show while they show the rest."""
    try:
        return get(link) if link else None
    except Lacking:
        return None


def system_of(get: Get, links: Sequence[str], machine: Machine) -> str | None:
    """Link of the one system that is this machine; None when none is, or when several could be.

    GPU baseboards and chassis managers list systems that cannot be switched: those are never meant.
    """
    found = [(link, document) for link in links[:_MOST] if (document := optional(get, link)) is not None]
    if machine.system is not None:
        named = [
            link for link, document in found if machine.system in (text_at(document, "Id"), link.rpartition("/")[2])
        ]
        return named[0] if len(named) == 1 else None
    able = [(link, document) for link, document in found if at(document, "Actions", "#ComputerSystem.Reset")]
    if len(able) == 1:
        return able[0][0]
    same = [link for link, document in able if _is(document, machine)]
    return same[0] if len(same) == 1 else None


def _is(system: Json, machine: Machine) -> bool:
    serials = {lower_of(system.get("SerialNumber")), lower_of(system.get("SKU"))} - {None}
    return lower_of(machine.serial) in serials or (
        machine.uuid is not None and lower_of(system.get("UUID")) == lower_of(machine.uuid)
    )


def macs_of(get: Get, system: Json) -> tuple[str, ...]:
    """MACs of a system's network interfaces, as far as the BMC knows them."""
    found = _parts(get, text_at(system, "EthernetInterfaces", "@odata.id"))
    addresses = [lower_of(i.get("PermanentMACAddress")) or lower_of(i.get("MACAddress")) for i in found]
    return tuple(dict.fromkeys(a.replace("-", ":") for a in addresses if a))


def drives_of(get: Get, system: Json) -> tuple[Disk, ...]:
    storages = _parts(get, text_at(system, "Storage", "@odata.id"))
    links = (link for storage in storages for link in links_of(storage.get("Drives")))
    return tuple(disk_of(drive) for drive in _read(get, links))


def managers_of(get: Get, system: Json) -> list[Json]:
    """The controllers that manage a system: the BMC itself is the first."""
    return list(_read(get, links_of(at(system, "Links", "ManagedBy"))))


def log_of(get: Get, system: Json) -> list[LogEntry]:
    """The event log: the newest and the oldest entries where it is long, as some begin with the one, some the other."""
    holders = [system, *managers_of(get, system)]
    link = next((found for h in holders if (found := text_at(h, "LogServices", "@odata.id"))), None)
    services = _parts(get, link)
    chosen = [s for s in services if str(s.get("Id", "")).lower() == "sel"] or services
    entries = [e for s in chosen for e in _optional_members(get, text_at(s, "Entries", "@odata.id"))]
    if len(entries) > LOG_LIMIT:
        entries = [*entries[: LOG_LIMIT // 2], *entries[-LOG_LIMIT // 2 :]]
    whole = (e if "Message" in e else optional(get, text_at(e, "@odata.id")) for e in entries)
    return [log_entry_of(entry) for entry in whole if entry is not None]


def _parts(get: Get, link: str | None) -> list[Json]:
    """Documents of the members of a collection, those that can be read."""
    return list(_read(get, links_of(_optional_members(get, link))))


def _read(get: Get, links: Iterator[str]) -> Iterator[Json]:
    return (document for link in islice(links, _MOST) if (document := optional(get, link)) is not None)


def _optional_members(get: Get, link: str | None) -> list[Json]:
    try:
        return list(islice(members(get, link), 20 * LOG_LIMIT))
    except Lacking:
        return []
