"""Routes of pods: BGP neighbours of nodes, and which packets leave with the address of their node. Pure.

Up to `MESH` nodes all peer with all: nothing to configure, and no node passes on the routes of another. Every added
node changes all others there, so beyond it (or where the file names them) some nodes are route reflectors, and the
others peer with these alone. Where the file names routers, nodes peer with them only.

Nodes have a route to every pod, so packets to nodes, pods and services keep their source. Machines outside have no
route back, and the nodes' own network has such machines too: the deployer, gateways, name servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bmk.datacenter.model import ClusterNetwork, Network
from bmk.datacenter.resolve import DataCenter, Host

MESH = 64  # nodes: 63 sessions of each, 2016 in all; twice as many nodes would have four times as many


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A BGP peer of a node.

    `pods`: the one range that it may announce; None: a reflector, which announces those of others.
    `client`: the node itself is a reflector and passes on the routes of this peer.
    """

    name: str
    address: str
    pods: str | None
    client: bool = False


def neighbours(network: ClusterNetwork, members: Sequence[Host]) -> Mapping[str, tuple[Neighbour, ...]]:
    """The neighbours of each member of a cluster, by its name; `members` with the control planes first."""
    if network.plugin != "routed" or network.bgp.peers:
        return {}
    reflectors = frozenset(network.bgp.reflectors)
    if not reflectors and len(members) > MESH:
        reflectors = frozenset(host.name for host in members if host.role == "control_plane")
    return {host.name: tuple(_of(host, members, reflectors)) for host in members}


def _of(host: Host, members: Sequence[Host], reflectors: frozenset[str]) -> Iterator[Neighbour]:
    for other in members:
        if other.name == host.name:
            continue
        if other.name in reflectors:
            yield Neighbour(other.name, str(other.address), None)
        elif host.name in reflectors or not reflectors:
            yield Neighbour(other.name, str(other.address), str(other.pods), client=bool(reflectors))


Destination = IPv4Address | IPv4Network


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Addresses and ranges, sorted. The first list that holds a destination decides; in none of them: masqueraded."""

    never: tuple[str, ...]  # pods, services, exceptions, and nodes in reserved ranges
    beside: tuple[str, ...]  # in the networks of nodes, but not a node of this cluster: masqueraded
    nodes: tuple[str, ...]  # networks of nodes


def masquerade(dc: DataCenter, name: str) -> Masquerade | None:
    """The masquerading of a cluster; None where every packet keeps its source.

    Adding a node does not change it, unless the node has a reserved address.
    """
    network, members = dc.cluster(name).network, dc.members(name)
    if not network.masquerades:
        return None
    homes = {host.network.cidr: host.network for host in members}
    # clusters exchange routes among their own nodes only
    foreign = (h.address for h in dc.hosts.values() if h.cluster not in (None, name) and h.network.cidr in homes)
    beside = {*_beside(dc, homes.values()), *foreign}
    taken = [range_ for range_ in beside if isinstance(range_, IPv4Network)]
    vip = dc.cluster(name).endpoint.vip
    inside = [a for a in (*(h.address for h in members), vip) if a is not None and any(a in r for r in taken)]
    never: set[Destination] = {network.pods, network.services, *network.masquerade_except, *inside}
    return Masquerade(_sorted(never), _sorted(beside), _sorted(homes))


def egress_lines(dc: DataCenter, hosts: Iterable[str]) -> Iterator[str]:
    """Lines for people: with which source address pods of these hosts' clusters reach the outside, and why."""
    for name in sorted({dc.hosts[host].cluster or "" for host in hosts} - {""}):
        network = dc.cluster(name).network
        if network.plugin == "routed":
            whose = "their node's address" if network.masquerades else "their own address"
            routers = f"routers that learn the way back: {', '.join(map(str, network.bgp.peers)) or 'none'}"
            yield f"pods of {name} reach what is outside with {whose} (masquerade: {network.masquerade}, {routers})"


def _beside(dc: DataCenter, networks: Iterable[Network]) -> Iterator[Destination]:
    yield dc.spec.deployer.address
    for network in networks:
        yield from filter(None, (network.gateway, network.dhcp and network.dhcp.pool))
        yield from network.dns
        yield from network.reserved
        yield from map(IPv4Address, network.ntp_addresses)


def _sorted(ranges: Iterable[Destination]) -> tuple[str, ...]:
    return tuple(map(str, sorted(map(IPv4Network, ranges))))
