"""Who exchanges routes with whom, and whom a new node changes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.model import Bgp, ClusterNetwork
from bmk.datacenter.routing import MESH, neighbours

PODS = IPv4Network("10.128.0.0/12")


def members(size: int) -> Any:
    """Three control planes, then workers."""
    return [
        SimpleNamespace(
            name=f"n{i}",
            address=IPv4Address("10.20.0.0") + i,
            pods=IPv4Network((int(PODS.network_address) + 256 * i, 24)),
            role="control_plane" if i < 3 else "worker",
        )
        for i in range(size)
    ]


def network(**bgp: Any) -> ClusterNetwork:
    return ClusterNetwork(pods=PODS, services=IPv4Network("10.96.0.0/16"), bgp=Bgp(**bgp))


@given(st.integers(4, 2 * MESH), st.sampled_from([(), ("n0", "n1"), ("n3",)]))
def test_each_range_comes_from_one_neighbour_or_through_a_reflector(size: int, reflectors: tuple[str, ...]) -> None:
    """Sessions have two ends, nobody is told of himself, and each range comes to each node: straight, or passed on."""
    nodes = members(size)
    found = neighbours(network(reflectors=reflectors), nodes)
    for host in nodes:
        mine = {n.name: n for n in found[host.name]}
        assert host.name not in mine
        assert all(host.name in {n.name for n in found[other]} for other in mine)
        assert all(n.pods in (None, str(nodes[int(n.name[1:])].pods)) for n in mine.values())
        direct = {n.name for n in mine.values() if n.pods}
        assert len(direct) == size - 1 or any(n.pods is None for n in mine.values()) or set(reflectors) == {host.name}


def test_a_worker_is_never_asked_of_others_ranges() -> None:
    """Who passes on routes is a control plane or who the file names; the rest speak for themselves alone."""
    for size, reflectors in ((MESH, set()), (MESH + 1, {"n0", "n1", "n2"})):
        found = neighbours(network(), members(size))
        assert {n.name for mine in found.values() for n in mine if n.pods is None} == reflectors


def test_a_new_node_changes_the_lists_of_its_neighbours_alone() -> None:
    """In a small mesh that is everybody; with reflectors these, and with routers nobody."""

    def changed(before: int, **bgp: Any) -> set[str]:
        old, new = (neighbours(network(**bgp), members(size)) for size in (before, before + 1))
        return {name for name in old if old[name] != new[name]}

    assert len(changed(10)) == 10
    assert changed(100) == {"n0", "n1", "n2"}
    assert changed(10, reflectors=("n0", "n4")) == {"n0", "n4"}
    assert changed(100, peers=("10.20.0.1",)) == set()
    assert neighbours(network(peers=("10.20.0.1",)), members(5)) == {}
