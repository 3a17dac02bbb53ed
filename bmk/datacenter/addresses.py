"""Addresses of hosts and pod ranges of nodes: given once, then kept in addresses.yml beside dc.yml.

Addresses computed from names alone would change when a host is added or removed: two names can hash to one address, and
which of them gets it depends on whether the other exists. So allocations are written down, reviewed and committed like
a lock file. `bmk validate --write` adds what is missing and drops what is gone; nothing else changes the file. A line
may also be edited by hand.

Where a new host goes is a hash of its name (then the next free one), not the lowest free address: two branches that
each add a host nearly always choose differently, and an address that was just freed is rarely the next to be given.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from itertools import accumulate
from typing import TypeVar

from netaddr import IPNetwork, IPSet

from bmk.datacenter.draft import Allocations, Draft
from bmk.datacenter.model import ClusterNetwork, Network
from bmk.datacenter.resolve import members
from bmk.errors import ConfigError

T = TypeVar("T", IPv4Address, IPv4Network)


def settle(draft: Draft) -> Allocations:
    """The allocations a data center should have: those that its hosts still need, and new ones.

    Same input, same output, in whatever order the hosts are written. Raises ConfigError when a range is full.
    """
    have = needed(draft)
    missing = missing_pods(draft)
    pods = {c: _settled_pods(k.network, have.pods[c], missing.get(c, [])) for c, k in draft.clusters.items()}
    return Allocations(addresses=_settled_addresses(draft, have.addresses), pods=pods)


def missing_addresses(draft: Draft) -> list[str]:
    """Hosts that neither reserve an address nor have one allocated, sorted."""
    return sorted({h.spec.name for h in draft.hosts if h.spec.address is None} - draft.allocations.addresses.keys())


def missing_pods(draft: Draft) -> dict[str, list[str]]:
    """cluster -> nodes without a pod range, sorted; clusters that miss none are absent."""
    missing = {c: sorted(nodes - draft.allocations.pods.get(c, {}).keys()) for c, nodes in _nodes(draft).items()}
    return {cluster: names for cluster, names in missing.items() if names}


def needed(draft: Draft) -> Allocations:
    """Of the allocations there are, those that a host still needs."""
    reserved = {h.spec.name for h in draft.hosts if h.spec.address is not None}
    addresses = {n: a for n, a in draft.allocations.addresses.items() if n in draft.names["host"] and n not in reserved}
    nodes, have = _nodes(draft), draft.allocations.pods
    pods = {c: {n: r for n, r in have.get(c, {}).items() if n in members} for c, members in nodes.items()}
    return Allocations(addresses=addresses, pods=pods)


def lines(allocations: Allocations) -> dict[str, str]:
    """Allocations as `addresses.NAME` and `pods.CLUSTER.NAME` -> value, to compare two of them."""
    found = {f"addresses.{name}": str(address) for name, address in allocations.addresses.items()}
    for cluster, nodes in allocations.pods.items():
        found |= {f"pods.{cluster}.{name}": str(pods) for name, pods in nodes.items()}
    return found


def node_ranges(network: ClusterNetwork) -> int:
    """How many nodes a cluster's pod range has room for."""
    return 1 << (network.node_prefix - network.pods.prefixlen) if network.node_prefix >= network.pods.prefixlen else 0


class Pool:
    """The addresses of a network that may be allocated, by number: not DHCP's, reserved ones, the first or the last."""

    def __init__(self, network: Network) -> None:
        cidr = network.cidr
        never = [*network.reserved, *([network.dhcp.pool] if network.dhcp and network.dhcp.pool else [])]
        never += [IPv4Network(cidr.network_address), IPv4Network(cidr.broadcast_address)]
        free = IPSet([IPNetwork(str(cidr))]) - IPSet([str(n) for n in never])
        spans = [(int(r.first), int(r.last)) for r in free.iter_ipranges()]
        self._starts = [first for first, _ in spans]
        self._counts = [0, *accumulate(last - first + 1 for first, last in spans)]

    def __len__(self) -> int:
        return self._counts[-1]

    def __getitem__(self, number: int) -> IPv4Address:
        span = bisect_right(self._counts, number) - 1
        return IPv4Address(self._starts[span] + number - self._counts[span])


def _settled_addresses(draft: Draft, have: Mapping[str, IPv4Address]) -> dict[str, IPv4Address]:
    settled = dict(have)
    used = set(_taken(draft)) | set(have.values())
    pools = {name: Pool(network) for name, network in draft.networks.items()}
    home = {h.spec.name: h.spec.nics[0].network for h in draft.hosts}
    for name in missing_addresses(draft):
        pool = pools.get(home[name])
        if pool is not None:
            settled[name] = _first_free(name, len(pool), pool.__getitem__, used)
            used.add(settled[name])
    return dict(sorted(settled.items()))


def _settled_pods(
    network: ClusterNetwork, have: Mapping[str, IPv4Network], missing: Iterable[str]
) -> dict[str, IPv4Network]:
    settled = dict(have)
    used = set(have.values())
    step, base = 1 << (32 - network.node_prefix), int(network.pods.network_address)

    def nth(number: int) -> IPv4Network:
        return IPv4Network((base + number * step, network.node_prefix))

    for name in missing:
        settled[name] = _first_free(name, node_ranges(network), nth, used)
        used.add(settled[name])
    return dict(sorted(settled.items()))


def _first_free(name: str, size: int, nth: Callable[[int], T], used: Set[T]) -> T:
    start = int.from_bytes(sha256(name.encode()).digest()[:8], "big") % size if size else 0
    for i in range(size):
        candidate = nth((start + i) % size)
        if candidate not in used:
            return candidate
    raise ConfigError(f"nothing is left to allocate for {name}", hint="a larger range, or fewer reservations")


def _taken(draft: Draft) -> Iterator[IPv4Address]:
    """Every address that the file names: none of them may be allocated."""
    for network in draft.networks.values():
        yield from _some(network.gateway)
        yield from network.dns
        yield from network.dhcp.relays if network.dhcp else ()
    yield from _some(draft.deployer.address if draft.deployer else None)
    for cluster in draft.clusters.values():
        yield from _some(cluster.endpoint.vip)
        yield from cluster.network.bgp.peers
    for host in draft.hosts:
        yield from _some(host.spec.address)
        yield host.spec.bmc.address


def _nodes(draft: Draft) -> dict[str, set[str]]:
    nodes: dict[str, set[str]] = {name: set() for name in draft.clusters}
    for host, roles in members(draft.clusters, [h.spec for h in draft.hosts]).items():
        nodes[roles[0][0]].add(host)
    return nodes


def _some(address: IPv4Address | None) -> Iterable[IPv4Address]:
    return () if address is None else (address,)
