"""Reading the documents of a Redfish BMC: collections page by page, and parts that one BMC has and another lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from bmk.bmc.access import Machine
from bmk.bmc.protocol import InventoryDisk
from bmk.bmc.redfish_text import Json, at, disk_of, links_of, macs_in, next_of, objects, text_at
from bmk.identity import same_serial, same_uuid

Get = Callable[[str], Json]
_ALLOWABLE = "@Redfish.AllowableValues"
_PAGES = 100
_OF_ADAPTERS = ("NetworkDeviceFunctions", "NetworkPorts", "Ports")
_MOST = 256  # parts of one kind that are read: no machine has as many NICs or drives


class Lacking(Exception):
    """A document that this BMC does not have or cannot show; `str()` says why."""


def pages(get: Get, link: str | None) -> Iterator[Json]:
    """The pages of a collection. One that leads back to another, or for ever onwards, ends."""
    seen = set[str]()
    while link and link not in seen and len(seen) < _PAGES:
        seen.add(link)
        page = get(link)
        yield page
        link = next_of(page, link)


def members(get: Get, link: str | None) -> Iterator[Json]:
    """Members of a collection: links, or whole documents where a BMC expands them."""
    return (member for page in pages(get, link) for member in objects(page.get("Members")))


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
    serials = (text_at(system, "SerialNumber"), text_at(system, "SKU"))
    same = same_uuid(machine.uuid, text_at(system, "UUID"))
    return bool(same) or any(same_serial(machine.serial, serial) for serial in serials)


def macs_of(get: Get, system: Json, chassis: Callable[[], Iterable[Json]], wanted: Collection[str]) -> tuple[str, ...]:
    """MACs of a system's NICs, as far as the BMC knows them; its adapters are asked only when no `wanted` one is there:
    they are many documents.
    """
    nics = [system, *parts(get, text_at(system, "EthernetInterfaces", "@odata.id"))]
    found = dict.fromkeys(mac for nic in nics for mac in macs_in(nic))
    if found and (not wanted or found.keys() & set(wanted)):
        return tuple(found)
    collections = [text_at(one, "NetworkAdapters", "@odata.id") for one in chassis()]
    for adapter in (adapter for link in collections for adapter in parts(get, link)):
        for kind in _OF_ADAPTERS:
            ports = parts(get, text_at(adapter, kind, "@odata.id"))
            found |= dict.fromkeys(mac for port in ports for mac in macs_in(port))
    return tuple(found)


def drives_of(get: Get, system: Json) -> tuple[InventoryDisk, ...]:
    storages = parts(get, text_at(system, "Storage", "@odata.id"))
    links = (link for storage in storages for link in links_of(storage.get("Drives")))
    return tuple(disk_of(drive) for drive in _read(get, links))


def linked(get: Get, system: Json, relation: str) -> list[Json]:
    """Documents that a system links to: `ManagedBy`, of which the BMC itself is the first; `Chassis`."""
    return list(_read(get, links_of(at(system, "Links", relation))))


def listed(get: Get, link: str | None) -> list[str]:
    """Links in a collection, as far as it can be read."""
    found: list[str] = []
    with suppress(Lacking):
        found.extend(part for member in islice(members(get, link), _MOST) for part in links_of(member))
    return found


def parts(get: Get, link: str | None) -> list[Json]:
    """Documents of the members of a collection, those that can be read."""
    return list(_read(get, iter(listed(get, link))))


def _read(get: Get, links: Iterator[str]) -> Iterator[Json]:
    return (document for link in islice(links, _MOST) if (document := optional(get, link)) is not None)


def resets_of(get: Get, system: Json) -> list[str]:
    """The kinds of reset that a system offers, which it lists itself or in a document apart; none: it does not say."""
    action = at(system, "Actions", "#ComputerSystem.Reset")
    found = at(action, f"ResetType{_ALLOWABLE}")
    if found is None:
        info = optional(get, text_at(action, "@Redfish.ActionInfo")) or {}
        kinds = [one for one in objects(info.get("Parameters")) if text_at(one, "Name") == "ResetType"]
        found = at(kinds[0], "AllowableValues") if kinds else None
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []
