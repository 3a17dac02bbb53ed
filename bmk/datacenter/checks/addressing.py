"""Addresses, ranges and name servers: each belongs to one thing and lies where it should."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from bmk.datacenter.addresses import missing_addresses, missing_pods
from bmk.datacenter.draft import Draft, Placed
from bmk.datacenter.model import Network
from bmk.datacenter.problems import Problem
from bmk.datacenter.resolve import members
from bmk.datacenter.source import ADDRESSES
from bmk.document import Loc

Claim = tuple[IPv4Address, str, Loc]  # the address, whose it is, where that is written

_SETTLE = "bmk validate --write allocates what is missing and writes it to addresses.yml"


def unique_addresses(draft: Draft) -> Iterator[Problem]:
    """No two things have one address. The deployer may be a network's gateway, as it is in a lab."""
    first: dict[IPv4Address, tuple[str, Loc]] = {}
    for address, owner, loc in _claims(draft):
        other, there = first.setdefault(address, (owner, loc))
        if there is not loc and not (other.startswith("the gateway") and owner == "the deployer"):
            yield Problem(loc, f"{address} of {owner} is already that of {other}", other=there)


def addresses_in_their_networks(draft: Draft) -> Iterator[Problem]:
    """Hosts, gateways, VIPs and BMCs lie inside a network and outside of pools."""
    for name, network in draft.networks.items():
        if network.gateway is not None:
            yield from _inside(network.gateway, name, network, ("spec", "networks", name, "gateway"))
    for host in draft.hosts:
        yield from _host(draft, host)
        yield from _bmc(draft, host)
    if draft.deployer is not None:
        yield from _outside_pools(draft, draft.deployer.address, ("spec", "deployer", "address"))


def allocated_pods(draft: Draft) -> Iterator[Problem]:
    """Pod ranges of addresses.yml are parts of their cluster's range, as large as the cluster says, one node's each."""
    for name, cluster in draft.clusters.items():
        network, first = cluster.network, dict[IPv4Network, Loc]()
        for node, pods in draft.allocations.pods.get(name, {}).items():
            loc = (ADDRESSES, "pods", name, node)
            if not pods.subnet_of(network.pods) or pods.prefixlen != network.node_prefix:
                what = f"{pods} is no /{network.node_prefix} of the pod range {network.pods} of {name}"
                yield Problem(loc, what, "remove the line, and bmk validate --write allocates another")
            elif (other := first.setdefault(pods, loc)) is not loc:
                yield Problem(loc, f"{pods} is already given away", other=other)


def missing_allocations(draft: Draft) -> Iterator[Problem]:
    """Hosts that reserve no address, and nodes of clusters, have their allocations in addresses.yml."""
    places = {host.spec.name: host.loc for host in draft.hosts}
    if names := missing_addresses(draft):
        yield Problem((*places[names[0]], "name"), f"{_some(names)} no address yet", _SETTLE)
    for cluster, nodes in missing_pods(draft).items():
        loc = ("spec", "clusters", cluster, "network", "pods")
        yield Problem(loc, f"{_some(nodes)} no pod range yet", _SETTLE)


def _claims(draft: Draft) -> Iterator[Claim]:
    for name, network in draft.networks.items():
        if network.gateway is not None:
            yield network.gateway, f"the gateway of {name}", ("spec", "networks", name, "gateway")
    if draft.deployer is not None:
        yield draft.deployer.address, "the deployer", ("spec", "deployer", "address")
    for name, cluster in draft.clusters.items():
        if cluster.endpoint.vip is not None:
            yield cluster.endpoint.vip, f"the VIP of {name}", ("spec", "clusters", name, "endpoint", "vip")
    for host in draft.hosts:
        if (found := _address(draft, host)) is not None:
            yield found[0], host.spec.name, found[1]
        yield host.spec.bmc.address, f"the BMC of {host.spec.name}", (*host.loc, "bmc", "address")


def _address(draft: Draft, host: Placed) -> tuple[IPv4Address, Loc] | None:
    if host.spec.address is not None:
        return host.spec.address, (*host.loc, "address")
    allocated = draft.allocations.addresses.get(host.spec.name)
    return None if allocated is None else (allocated, (ADDRESSES, "addresses", host.spec.name))


def _host(draft: Draft, host: Placed) -> Iterator[Problem]:
    name = host.spec.nics[0].network
    network, found = draft.networks.get(name), _address(draft, host)
    if network is not None and found is not None:
        yield from _inside(found[0], name, network, found[1])


def _inside(address: IPv4Address, name: str, network: Network, loc: Loc) -> Iterator[Problem]:
    cidr = network.cidr
    if address not in cidr:
        yield Problem(loc, f"{address} is outside of the network {name}, {cidr}")
    elif address in (cidr.network_address, cidr.broadcast_address) and cidr.prefixlen < 31:
        yield Problem(loc, f"{address} is the first or last of the network {name}: no machine can have it")
    elif network.dhcp is not None and network.dhcp.pool is not None and address in network.dhcp.pool:
        yield Problem(loc, f"{address} lies in the DHCP pool of {name}, {network.dhcp.pool}")


def _bmc(draft: Draft, host: Placed) -> Iterator[Problem]:
    loc, address = (*host.loc, "bmc", "address"), host.spec.bmc.address
    network, all_known = draft.networks.get("bmc"), len(draft.networks) == len(draft.names["network"])
    if network is not None:
        yield from _inside(address, "bmc", network, loc)
    elif all_known and not any(address in n.cidr for n in draft.networks.values()):
        yield Problem(loc, f"{address} lies in no network of this file", "add the BMCs' network to spec.networks")


def _outside_pools(draft: Draft, address: IPv4Address, loc: Loc) -> Iterator[Problem]:
    for name, network in draft.networks.items():
        if network.dhcp is not None and network.dhcp.pool is not None and address in network.dhcp.pool:
            yield Problem(loc, f"{address} lies in the DHCP pool of {name}, {network.dhcp.pool}")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{shown} {'has' if len(names) == 1 else 'have'}"


_Range = tuple[IPv4Network, str, Loc, str]  # range, whose it is, where that is written, the cluster it is private to


def overlapping_ranges(draft: Draft) -> Iterator[Problem]:
    """Networks, pod and service ranges. Two clusters may use the same service range: it never leaves a cluster."""
    ranges = sorted(_ranges(draft), key=lambda r: (int(r[0].network_address), r[0].prefixlen))
    for i, (here, owner, loc, scope) in enumerate(ranges):
        for there, other, where, other_scope in ranges[i + 1 :]:
            if there.network_address > here.broadcast_address:
                break
            if not (scope and other_scope and scope != other_scope):
                yield Problem(where, f"{other}, {there}, overlaps {owner}, {here},", other=loc)


def pools_inside(draft: Draft) -> Iterator[Problem]:
    """A DHCP pool and reserved ranges are parts of their network."""
    for name, network in draft.networks.items():
        loc: Loc = ("spec", "networks", name)
        pool = network.dhcp.pool if network.dhcp else None
        if pool is not None and not pool.subnet_of(network.cidr):
            yield Problem((*loc, "dhcp", "pool"), f"the DHCP pool {pool} is not inside {network.cidr}")
        for i, reserved in enumerate(network.reserved):
            if not reserved.subnet_of(network.cidr):
                yield Problem((*loc, "reserved", i), f"{reserved} is not inside {network.cidr}")


def _ranges(draft: Draft) -> Iterator[_Range]:
    for name, network in draft.networks.items():
        yield network.cidr, f"the network {name}", ("spec", "networks", name, "cidr"), ""
    for name, cluster in draft.clusters.items():
        loc: Loc = ("spec", "clusters", name, "network")
        yield cluster.network.pods, f"the pod range of {name}", (*loc, "pods"), ""
        yield cluster.network.services, f"the service range of {name}", (*loc, "services"), name


_MOST = 3  # of glibc and the kubelet: more are dropped with a warning on every pod


def name_servers(draft: Draft) -> Iterator[Problem]:
    """Networks of cluster members have one to three name servers, none of them inside a cluster.

    Without one CoreDNS does not start; one that is CoreDNS itself, or forwards to it, is a loop, and CoreDNS exits.
    """
    in_clusters = members(draft.clusters, [host.spec for host in draft.hosts])
    used = {host.spec.nics[0].network for host in draft.hosts if in_clusters.get(host.spec.name)}
    for name, network in draft.networks.items():
        loc = ("spec", "networks", name)
        if name in used and not network.dns:
            yield Problem(
                loc, f"{name} has nodes of a cluster and no name server", f"dns: [ADDRESS] in {name}", key=True
            )
        if len(network.dns) > _MOST:
            yield Problem((*loc, "dns", _MOST), f"nodes use {_MOST} name servers, this is one more", "keep the nearest")
        for i, server in enumerate(network.dns):
            if server in network.dns[:i]:
                yield Problem((*loc, "dns", i), f"{server} stands twice", "keep one")
            for what in _inside_cluster(draft, server):
                yield Problem(
                    (*loc, "dns", i), f"the name server {server} is {what}", "name one outside of the cluster"
                )


def _inside_cluster(draft: Draft, server: IPv4Address) -> Iterator[str]:
    for name, cluster in draft.clusters.items():
        if server in cluster.network.services:
            yield f"in the service range of {name}: CoreDNS would ask itself"
        elif server in cluster.network.pods:
            yield f"in the pod range of {name}: CoreDNS would ask itself"
        elif server == cluster.endpoint.vip:
            yield f"the VIP of {name}, where the API server is"
