"""Name servers that nodes and CoreDNS can ask."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from bmk.datacenter.draft import Draft
from bmk.datacenter.membership import members
from bmk.datacenter.problem import Problem

_MOST = 3  # of glibc and the kubelet: more are dropped with a warning on every pod


def name_servers(draft: Draft) -> Iterator[Problem]:
    """Networks of cluster members have one to three, and none of them is inside of a cluster.

    Without one CoreDNS does not start; one that is CoreDNS itself, or asks it, makes a loop, and it ends for that.
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
            for what in _inside(draft, server):
                yield Problem(
                    (*loc, "dns", i), f"the name server {server} is {what}", "name one outside of the cluster"
                )


def _inside(draft: Draft, server: IPv4Address) -> Iterator[str]:
    for name, cluster in draft.clusters.items():
        if server in cluster.network.services:
            yield f"in the service range of {name}: CoreDNS would ask itself"
        elif server in cluster.network.pods:
            yield f"in the pod range of {name}: CoreDNS would ask itself"
        elif server == cluster.endpoint.vip:
            yield f"the VIP of {name}, where the API server is"
