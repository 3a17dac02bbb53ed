"""Clusters: quorum, membership, endpoint, pod ranges, routes and policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address

from bmk.datacenter.addresses import node_ranges
from bmk.datacenter.draft import Draft
from bmk.datacenter.model import Cluster
from bmk.datacenter.problems import Problem, counted
from bmk.datacenter.resolve import members
from bmk.document import Loc

_SIZES = (1, 3, 5)
_API_PORT = 6443
_NODE_PORTS = {22: "ssh's", 10250: "the kubelet's", 10256: "kube-proxy's"}


def control_planes(draft: Draft) -> Iterator[Problem]:
    """One, three or five control planes: an even number tolerates no more failures than one fewer."""
    for name, cluster in draft.clusters.items():
        hosts = cluster.control_plane.hosts
        loc: Loc = ("spec", "clusters", name, "control_plane", "hosts")
        if len(hosts) not in _SIZES:
            yield Problem(loc, f"{name} has {counted(len(hosts), 'control plane')}", "one, three or five")
        for i, host in enumerate(hosts):
            if host in hosts[:i]:
                what = f"{host!r} is already a control plane of {name}"
                yield Problem((*loc, i), what, other=(*loc, hosts.index(host)))
        for i, host in enumerate(cluster.workers.hosts):
            if host in hosts:
                where = ("spec", "clusters", name, "workers", "hosts", i)
                yield Problem(where, f"{host!r} is a control plane of {name}", other=(*loc, hosts.index(host)))


def one_cluster_each(draft: Draft) -> Iterator[Problem]:
    """A host belongs to one cluster at most, by name or by selector."""
    if len(draft.clusters) < 2:
        return
    roles = members(draft.clusters, [host.spec for host in draft.hosts])
    for host in draft.hosts:
        clusters = [cluster for cluster, _ in roles.get(host.spec.name, [])]
        if len(clusters) > 1:
            what = f"{host.spec.name} belongs to the clusters {' and '.join(clusters)}"
            yield Problem((*host.loc, "name"), what, "name it in one of them, or make their selectors differ")


def endpoints(draft: Draft) -> Iterator[Problem]:
    """Several control planes need an address that outlives each of them."""
    for name, cluster in draft.clusters.items():
        loc: Loc = ("spec", "clusters", name, "endpoint")
        at = cluster.endpoint
        if at.vip is not None and at.external is not None:
            yield Problem((*loc, "external"), f"{name} has both a VIP and an external balancer", "keep one of them")
        elif at.vip is None and at.external is None and len(cluster.control_plane.hosts) > 1:
            what = f"{name} has {len(cluster.control_plane.hosts)} control planes and no common endpoint"
            yield Problem(loc, what, "endpoint: {vip: ADDRESS}, or endpoint: {external: HOST:PORT}")
        if at.vip is not None:
            yield from _vip(draft, name, cluster, at.vip)
            if at.port in _NODE_PORTS:
                what = f"port {at.port} of every node is {_NODE_PORTS[at.port]}"
                yield Problem((*loc, "port"), what, "6443, or another free port")
        elif at.external is None and at.port != _API_PORT:
            what = f"the one control plane of {name} serves its API at port {_API_PORT}"
            yield Problem((*loc, "port"), what, "leave port out, or endpoint: {vip: ADDRESS, port: ...}")


def deployer_ports(draft: Draft) -> Iterator[Problem]:
    """Files and images are served at two ports of one address."""
    at = draft.deployer
    if at is not None and at.http_port == at.registry_port:
        yield Problem(
            ("spec", "deployer", "registry_port"), f"port {at.registry_port} already serves files", "such as 5000"
        )


def pod_ranges(draft: Draft) -> Iterator[Problem]:
    """Every node gets a range of pods: there are enough of them, and they are inside the cluster's."""
    sizes = Counter(c for roles in members(draft.clusters, [h.spec for h in draft.hosts]).values() for c, _ in roles)
    for name, cluster in draft.clusters.items():
        network, loc = cluster.network, ("spec", "clusters", name, "network")
        if (room := node_ranges(network)) < sizes[name]:
            nodes = counted(sizes[name], "node")
            what = f"{network.pods} has {counted(room, 'range')} of /{network.node_prefix}, {name} has {nodes}"
            yield Problem((*loc, "pods"), what, "a shorter prefix in pods, or a longer node_prefix")
        if network.services.prefixlen < 12:
            yield Problem((*loc, "services"), f"{network.services} is larger than an API server takes", "/12 or longer")
        if network.services.prefixlen > 28:
            what = f"{network.services} has no room for CoreDNS at its tenth address"
            yield Problem((*loc, "services"), what, "/28 or shorter")


def reflectors(draft: Draft) -> Iterator[Problem]:
    """Route reflectors are nodes of the cluster, and there are none where nodes peer with routers."""
    roles = members(draft.clusters, [h.spec for h in draft.hosts])
    for name, cluster in draft.clusters.items():
        bgp, loc = cluster.network.bgp, ("spec", "clusters", name, "network", "bgp")
        for i, host in enumerate(bgp.reflectors):
            if name not in [c for c, _ in roles.get(host, [])]:
                yield Problem(
                    (*loc, "reflectors", i), f"{host!r} is no node of {name}", "a control plane or a worker of it"
                )
        if bgp.peers and bgp.reflectors:
            what = (
                f"the nodes of {name} peer with routers, so {', '.join(bgp.reflectors)} would have nothing to reflect"
            )
            yield Problem((*loc, "reflectors"), what, "peers or reflectors, not both", other=(*loc, "peers"))
        if bgp.accept and not bgp.peers:
            yield Problem(
                (*loc, "accept"), f"{name} has no routers that could announce this", "peers: [ADDRESS of a router]"
            )


def enforced_policies(draft: Draft) -> Iterator[Problem]:
    """A cluster that denies traffic of a namespace enforces NetworkPolicy."""
    for name, cluster in draft.clusters.items():
        network, loc = cluster.network, ("spec", "clusters", name, "network", "deny")
        if network.deny and not network.enforces:
            yield Problem(loc, f"nothing enforces NetworkPolicy in {name}", "policies: kube-network-policies")
        for i, namespace in enumerate(network.deny):
            if namespace == "kube-system":
                yield Problem((*loc, i), "kube-system cannot deny: CoreDNS is in it", "leave it out")


def masquerading(draft: Draft) -> Iterator[Problem]:
    """Masquerading is asked for only where bmk does it, and exceptions only where it is on."""
    for name, cluster in draft.clusters.items():
        network, loc = cluster.network, ("spec", "clusters", name, "network")
        if network.masquerade == "on" and network.plugin != "routed":
            what = f"with the plug-in {network.plugin} bmk masquerades nothing"
            yield Problem((*loc, "masquerade"), what, "leave it out, and set it in the plug-in")
        if network.masquerade_except and not network.masquerades:
            why = "masquerade is off" if network.masquerade == "off" else "its routers learn the ranges of pods"
            why = why if network.plugin == "routed" else f"the plug-in is {network.plugin}"
            yield Problem((*loc, "masquerade_except"), f"nothing is masqueraded in {name}: {why}", "leave it out")


def _vip(draft: Draft, name: str, cluster: Cluster, vip: IPv4Address) -> Iterator[Problem]:
    loc = ("spec", "clusters", name, "endpoint", "vip")
    hosts = {h.spec.name: h.spec for h in draft.hosts}
    networks = {hosts[n].nics[0].network for n in cluster.control_plane.hosts if n in hosts}
    for network in sorted(networks & draft.networks.keys()):
        net = draft.networks[network]
        if vip not in net.cidr:
            yield Problem(loc, f"the VIP {vip} is outside of the control planes' network {network}, {net.cidr}")
        elif net.dhcp is not None and net.dhcp.pool is not None and vip in net.dhcp.pool:
            yield Problem(loc, f"the VIP {vip} lies in the DHCP pool of {network}, {net.dhcp.pool}")
        elif vip in (net.cidr.network_address, net.cidr.broadcast_address):
            yield Problem(loc, f"the VIP {vip} is the first or last of the network {network}: no machine can have it")
        elif int(vip) % 256 == 0:
            yield Problem(
                loc, f"the VIP {vip} ends in .0, and keepalived numbers its group by that from 1", "another one"
            )
