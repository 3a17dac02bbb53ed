"""Which packets of pods leave with the address of their node, and which keep their own. Pure.

Nodes know the way to every pod, so what goes to them, to pods and to services keeps its source. Whatever is outside
knows no way back, and the network of the nodes has such machines too: the deployer, gateways, name servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bmk.datacenter.model import Network
from bmk.datacenter.resolve import DataCenter

Destination = IPv4Address | IPv4Network


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Addresses and ranges, sorted. The first list that holds a destination decides; in none of them: masqueraded."""

    never: tuple[str, ...]  # pods, services, exceptions, and nodes in ranges that are reserved
    beside: tuple[str, ...]  # in the networks of nodes, and no node of this cluster: masqueraded
    nodes: tuple[str, ...]  # networks of nodes


def masquerade(dc: DataCenter, name: str) -> Masquerade | None:
    """Of a cluster; None where every packet keeps its source.

    A node that is added changes nothing, unless it asked for a reserved address.
    """
    network, members = dc.cluster(name).network, dc.members(name)
    if not network.masquerades:
        return None
    homes = {host.network.cidr: host.network for host in members}
    beside = {*_beside(dc, homes.values()), *_of_other_clusters(dc, name, homes)}
    taken = [range_ for range_ in beside if isinstance(range_, IPv4Network)]
    vip = dc.cluster(name).endpoint.vip
    inside = [a for a in (*(h.address for h in members), vip) if a is not None and any(a in r for r in taken)]
    never: set[Destination] = {network.pods, network.services, *network.masquerade_except, *inside}
    return Masquerade(_sorted(never), _sorted(beside), _sorted(homes))


def ways_out(dc: DataCenter, hosts: Iterable[str]) -> Iterator[str]:
    """For people: how pods of the clusters of these hosts reach what is outside, and why so."""
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


def _of_other_clusters(dc: DataCenter, name: str, homes: dict[IPv4Network, Network]) -> Iterator[IPv4Address]:
    """They exchange routes among themselves only."""
    others = (host for host in dc.hosts.values() if host.cluster not in (None, name))
    yield from (host.address for host in others if host.network.cidr in homes)


def _sorted(ranges: Iterable[Destination]) -> tuple[str, ...]:
    return tuple(map(str, sorted(map(IPv4Network, ranges))))
