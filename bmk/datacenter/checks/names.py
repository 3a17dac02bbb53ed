"""Names that mean something else to a program that bmk hands them to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bmk.datacenter.draft import Draft
from bmk.datacenter.inventory import DEPLOYER
from bmk.datacenter.problem import Problem
from bmk.document import Loc

ROLES = frozenset({"control_plane", "worker", "spare"})
_ANSIBLE = frozenset({"all", "ungrouped", "localhost"})
_DNSMASQ = re.compile(r"ignore|infinite|[0-9]+[smhdw]?")  # in its file of hosts: a keyword or the time of a lease
_TAGS = frozenset({"known", "known-othernet", "ipxe", "bios", "efi", "httpboot"})  # of the rendered dnsmasq.conf


def names_of_their_own(draft: Draft) -> Iterator[Problem]:
    """A host is not called as a group of Ansible's inventory, what `--limit` takes for many, or a word of dnsmasq's."""
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
    """Racks, profiles and clusters are not called as a role, networks not as a tag of the DHCP server's."""
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
