"""Ranges that must not meet: networks, BMC networks, DHCP pools, pods, services."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from bmk.datacenter.draft import Draft
from bmk.datacenter.problem import Problem
from bmk.document import Loc

Range = tuple[IPv4Network, str, Loc, str]  # range, whose it is, where that is written, the cluster it is private to


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


def _ranges(draft: Draft) -> Iterator[Range]:
    for name, network in draft.networks.items():
        yield network.cidr, f"the network {name}", ("spec", "networks", name, "cidr"), ""
    for name, cluster in draft.clusters.items():
        loc: Loc = ("spec", "clusters", name, "network")
        yield cluster.network.pods, f"the pod range of {name}", (*loc, "pods"), ""
        yield cluster.network.services, f"the service range of {name}", (*loc, "services"), name
