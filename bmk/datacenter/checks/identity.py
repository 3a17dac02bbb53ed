"""Machines and names: no duplicates, every reference exists, no name is a keyword of another program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bmk.datacenter.draft import Draft, Placed
from bmk.datacenter.inventory import DEPLOYER
from bmk.datacenter.model import WAYS
from bmk.datacenter.problems import Problem, did_you_mean
from bmk.datacenter.resolve import effective_disk
from bmk.document import Loc
from bmk.identity import serials, uuids

Claim = tuple[str, Loc]  # a value that must be unique, and where it is written


def unique_identities(draft: Draft) -> Iterator[Problem]:
    """Names, serials, UUIDs and MACs of machines are unique."""
    hosts = draft.hosts
    yield from _twice("name", ((h.spec.name, (*h.loc, "name")) for h in hosts))
    yield from _twice("serial", ((h.spec.serial, (*h.loc, "serial")) for h in hosts if serials(h.spec.serial)))
    yield from _twice("UUID", ((h.spec.uuid.lower(), (*h.loc, "uuid")) for h in hosts if h.spec.uuid))
    nics = ((nic.mac, (*h.loc, "nics", i, "mac")) for h in hosts for i, nic in enumerate(h.spec.nics))
    yield from _twice("MAC", nics)


def proven_identities(draft: Draft) -> Iterator[Problem]:
    """A machine has a serial or a UUID of its own; placeholders of firmware identify no machine."""
    for host in draft.hosts:
        spec = host.spec
        if spec.uuid and not uuids(spec.uuid):
            what = f"UUID {spec.uuid} is what firmware says of every machine without one"
            yield Problem((*host.loc, "uuid"), what, "leave it out, if the serial is the machine's own")
        elif not serials(spec.serial) and not spec.uuid:
            what = f"serial {spec.serial} says nothing, and there is no uuid to know {spec.name} by"
            yield Problem((*host.loc, "serial"), what, "uuid: as the machine's DMI tables and its BMC say it")


def known_references(draft: Draft) -> Iterator[Problem]:
    """Profiles and networks that hosts name exist."""
    for host in draft.hosts:
        if not draft.known("profile", host.spec.profile):
            yield _unknown(draft, "profile", host.spec.profile, (*host.loc, "profile"))
        yield from _nics(draft, host)
    for rack, networks in {host.rack: host.networks for host in draft.hosts}.items():
        for i, network in enumerate(networks):
            if not draft.known("network", network):
                yield _unknown(draft, "network", network, ("spec", "racks", rack, "networks", i))


def known_members(draft: Draft) -> Iterator[Problem]:
    """Hosts that clusters name exist."""
    for name, cluster in draft.clusters.items():
        for key, hosts in (("control_plane", cluster.control_plane.hosts), ("workers", cluster.workers.hosts)):
            for i, host in enumerate(hosts):
                if not draft.known("host", host):
                    yield _unknown(draft, "host", host, ("spec", "clusters", name, key, "hosts", i))


def disks_named(draft: Draft) -> Iterator[Problem]:
    """Machines with real disks name the one that may be wiped: there is no default."""
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


ROLES = frozenset({"control_plane", "worker", "spare"})
_ANSIBLE = frozenset({"all", "ungrouped", "localhost"})
_DNSMASQ = re.compile(r"ignore|infinite|[0-9]+[smhdw]?")  # in its file of hosts: a keyword or the time of a lease
_TAGS = frozenset({"known", "known-othernet", "ipxe", "bios", "efi", "httpboot"})  # of the rendered dnsmasq.conf


def names_of_their_own(draft: Draft) -> Iterator[Problem]:
    """No host is called as a group of Ansible's inventory, something `--limit` expands, or a keyword of dnsmasq."""
    kinds = {
        "rack": {h.rack for h in draft.hosts},
        "profile": draft.names["profile"],
        "cluster": draft.names["cluster"],
    }
    for host in draft.hosts:
        name, loc = host.spec.name, (*host.loc, "name")
        if why := _word(name):
            yield _renamed(loc, name, why)
        for kind in (kind for kind, names in kinds.items() if name in names):
            yield _renamed(loc, name, f"the name of a {kind}, which --limit could not tell from the host")


def names_of_many(draft: Draft) -> Iterator[Problem]:
    """No rack, profile or cluster has the name of a role, no network that of a tag of the DHCP server."""
    for key, names in (("racks", {h.rack for h in draft.hosts}), ("profiles", draft.names["profile"])):
        for name in sorted(ROLES & names):
            yield _renamed(("spec", key, name), name, "a role, which --limit could not tell from it", key=True)
    for name in sorted(ROLES & draft.names["cluster"]):
        yield _renamed(("spec", "clusters", name), name, "a role, which --limit could not tell from it", key=True)
    for name in sorted(_TAGS & draft.names["network"]):
        yield _renamed(("spec", "networks", name), name, "a tag of the DHCP server", key=True)


def _word(name: str) -> str:
    if name == DEPLOYER:
        return "the boot server's name"
    if name in ROLES:
        return "a role"
    if name in _ANSIBLE:
        return "a word of Ansible, which would mean other hosts by it"
    return "a word of dnsmasq, which would ignore the machine" if _DNSMASQ.fullmatch(name) else ""


def _renamed(loc: Loc, name: str, why: str, *, key: bool = False) -> Problem:
    return Problem(loc, f"{name!r} is {why}", "give it another name", key=key)


def attestable(draft: Draft) -> Iterator[Problem]:
    """The attestation of each profile is one that its BMC or TPM offers, or `none` with a reason."""
    for name, profile in draft.profiles.items():
        attest, lab, loc = profile.attest, profile.lab, ("spec", "profiles", name, "attest")
        if attest is None:
            continue
        way: Loc = (*loc, "way")
        ways = WAYS[profile.bmc.kind]
        if attest.way == "none" and attest.reason is None:
            hint = f'attest: {{way: none, reason: "..."}}, or drop it: the default is {ways[0]}'
            yield Problem(way, "machines without a proof need a reason", hint)
        elif attest.way != "none" and attest.reason is not None:
            hint = f"drop it, or say way: none instead of {attest.way}"
            yield Problem((*loc, "reason"), "a reason is for none only", hint)
        elif attest.way == "tpm" and lab is not None and not (lab.tpm and lab.kind in ("vm", "simulated")):
            yield Problem(way, "the lab's machines of this profile have no TPM", "lab: {kind: vm, tpm: true}")
        elif attest.way not in (*ways, "none"):
            yield Problem(way, f"a BMC of kind {profile.bmc.kind} carries no {attest.way}", f"use {' or '.join(ways)}")
