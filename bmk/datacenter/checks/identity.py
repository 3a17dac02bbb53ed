"""Nobody is there twice, and every name that is used is one that is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bmk.datacenter.draft import Draft, Placed
from bmk.datacenter.membership import effective_disk
from bmk.datacenter.problem import Problem, did_you_mean
from bmk.document import Loc
from bmk.identity import serials, uuids

Claim = tuple[str, Loc]  # a value that must be unique, and where it is written


def unique_identities(draft: Draft) -> Iterator[Problem]:
    """Names, serials, UUIDs and MACs of machines."""
    hosts = draft.hosts
    yield from _twice("name", ((h.spec.name, (*h.loc, "name")) for h in hosts))
    yield from _twice("serial", ((h.spec.serial, (*h.loc, "serial")) for h in hosts if serials(h.spec.serial)))
    yield from _twice("UUID", ((h.spec.uuid.lower(), (*h.loc, "uuid")) for h in hosts if h.spec.uuid))
    nics = ((nic.mac, (*h.loc, "nics", i, "mac")) for h in hosts for i, nic in enumerate(h.spec.nics))
    yield from _twice("MAC", nics)


def proven_identities(draft: Draft) -> Iterator[Problem]:
    """A machine is known by its serial, else by its UUID: what says nothing proves nothing."""
    for host in draft.hosts:
        spec = host.spec
        if spec.uuid and not uuids(spec.uuid):
            what = f"UUID {spec.uuid} is what firmware says of every machine without one"
            yield Problem((*host.loc, "uuid"), what, "leave it out, if the serial is the machine's own")
        elif not serials(spec.serial) and not spec.uuid:
            what = f"serial {spec.serial} says nothing, and there is no uuid to know {spec.name} by"
            yield Problem((*host.loc, "serial"), what, "uuid: as the machine's DMI tables and its BMC say it")


def known_references(draft: Draft) -> Iterator[Problem]:
    """Profiles and networks of hosts."""
    for host in draft.hosts:
        if not draft.known("profile", host.spec.profile):
            yield _unknown(draft, "profile", host.spec.profile, (*host.loc, "profile"))
        yield from _nics(draft, host)
    for rack, networks in {host.rack: host.networks for host in draft.hosts}.items():
        for i, network in enumerate(networks):
            if not draft.known("network", network):
                yield _unknown(draft, "network", network, ("spec", "racks", rack, "networks", i))


def known_members(draft: Draft) -> Iterator[Problem]:
    """Hosts of clusters."""
    for name, cluster in draft.clusters.items():
        for key, hosts in (("control_plane", cluster.control_plane.hosts), ("workers", cluster.workers.hosts)):
            for i, host in enumerate(hosts):
                if not draft.known("host", host):
                    yield _unknown(draft, "host", host, ("spec", "clusters", name, key, "hosts", i))


def disks_named(draft: Draft) -> Iterator[Problem]:
    """Machines with real disks say which one may be wiped: there is no default for that."""
    for host in draft.hosts:
        profile = draft.profiles.get(host.spec.profile)
        if profile is None or (profile.lab is not None and profile.lab.kind != "vm"):
            continue
        disk = effective_disk(host.spec, profile)
        if not (disk.serial or disk.wwn or disk.size):
            what = f"nothing says which disk of {host.spec.name} may be wiped"
            yield Problem((*host.loc, "name"), what, "disk: {serial: ...} here, or disk: {size: ...} in its profile")


def _nics(draft: Draft, host: Placed) -> Iterator[Problem]:
    for i, nic in enumerate(host.spec.nics):
        loc = (*host.loc, "nics", i, "network")
        if not draft.known("network", nic.network):
            yield _unknown(draft, "network", nic.network, loc)
        elif nic.network not in host.networks:
            what = f"the rack {host.rack} has no network {nic.network!r}"
            yield Problem(loc, what, f"add it to spec.racks.{host.rack}.networks, or use {', '.join(host.networks)}")


def _unknown(draft: Draft, kind: str, name: str, loc: Loc) -> Problem:
    return Problem(loc, f"there is no {kind} {name!r}", did_you_mean(name, draft.names[kind]))


def _twice(what: str, claims: Iterable[Claim]) -> Iterator[Problem]:
    first: dict[str, Loc] = {}
    for value, loc in claims:
        other = first.setdefault(value, loc)
        if other is not loc:
            yield Problem(loc, f"the {what} {value!r} is already", other=other)
