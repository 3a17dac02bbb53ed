"""Who exchanges routes with whom in a cluster whose nodes route pods themselves. Pure.

Up to `MESH` nodes all peer with all: nothing to set up, and no node passes on what another says. Each node keeps a
session to each other, and each node that is added is a change of all, so beyond it (or where the file names them) some
nodes are route reflectors: the others peer with these alone. Where the file names routers, nodes peer with them only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bmk.datacenter.model import ClusterNetwork
from bmk.datacenter.resolve import Host

MESH = 64  # nodes: 63 sessions of each, 2016 in all; twice as many nodes would have four times as many


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another node. `pods` is all that it may announce; None: it is a reflector and announces the ranges of others.

    `client`: this node is a reflector, and passes the routes of that one on.
    """

    name: str
    address: str
    pods: str | None
    client: bool = False


def neighbours(network: ClusterNetwork, members: Sequence[Host]) -> Mapping[str, tuple[Neighbour, ...]]:
    """The neighbours of each member of a cluster, by its name; `members` with the control planes first."""
    if network.plugin != "routed" or network.bgp.peers:
        return {}
    reflectors = _reflectors(network, members)
    return {host.name: tuple(_of(host, members, reflectors)) for host in members}


def _reflectors(network: ClusterNetwork, members: Sequence[Host]) -> frozenset[str]:
    if network.bgp.reflectors or len(members) <= MESH:
        return frozenset(network.bgp.reflectors)
    return frozenset(host.name for host in members if host.role == "control_plane")


def _of(host: Host, members: Sequence[Host], reflectors: frozenset[str]) -> Iterator[Neighbour]:
    for other in members:
        if other.name == host.name:
            continue
        if other.name in reflectors:
            yield Neighbour(other.name, str(other.address), None)
        elif host.name in reflectors or not reflectors:
            yield Neighbour(other.name, str(other.address), str(other.pods), client=bool(reflectors))
