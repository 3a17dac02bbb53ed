"""Whose packets leave with the address of their node: what follows from the file."""

from __future__ import annotations

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.routing import egress_lines, masquerade

NETWORK = "services: 10.4.0.0/16}"
SECOND = """\
  clusters:
    two:
      kubernetes: {version: 1.36.3}
      control_plane: {hosts: [d]}
      network: {pods: 10.5.0.0/16, services: 10.4.0.0/16}
"""


@pytest.mark.parametrize(
    ("setting", "masquerades"),
    [
        ("", True),
        (", masquerade: auto", True),
        (", masquerade: off", False),
        (", bgp: {peers: [10.1.0.9]}", False),
        (", bgp: {peers: [10.1.0.9]}, masquerade: on", True),
        (", plugin: cilium", False),
        (", plugin: none", False),
    ],
)
def test_pods_are_masqueraded_where_nobody_learns_the_way_to_them(room, setting, masquerades):
    """By itself where no router is a peer; the file may say otherwise; another plug-in has its own settings."""
    dc = room.edit(NETWORK, NETWORK.replace("}", f"{setting}}}")).load()
    assert (masquerade(dc, "one") is not None) == masquerades


def test_what_is_in_the_cluster_sees_the_pods(room):
    """Pods, services, nodes and exceptions; the deployer, gateway, name and time servers beside the nodes do not."""
    room.edit("dns: [10.1.0.2]", "dns: [10.1.0.2, 9.9.9.9], ntp: [10.1.0.4, ntp.example.net]")
    found = masquerade(room.edit(NETWORK, NETWORK.replace("}", ", masquerade_except: [10.8.0.0/16]}")).load(), "one")
    assert found is not None
    assert found.never == ("10.3.0.0/16", "10.4.0.0/16", "10.8.0.0/16")
    assert found.nodes == ("10.1.0.0/16",)
    beside = ("9.9.9.9/32", "10.1.0.1/32", "10.1.0.2/32", "10.1.0.4/32", "10.1.9.0/24")
    assert found.beside == beside


def test_a_node_in_a_reserved_range_is_a_node(room):
    """Machines that are in no file stand in reserved ranges, and so may nodes and the VIP."""
    found = masquerade(room.edit("dns:", "reserved: [10.1.0.8/30], dns:").load(), "one")
    assert found is not None
    assert "10.1.0.8/30" in found.beside
    assert set(found.never) == {"10.3.0.0/16", "10.4.0.0/16", "10.1.0.10/32", "10.1.0.11/32"}


def test_nodes_of_another_cluster_know_no_way_back(room):
    """Clusters exchange no routes, so a node of another one in the same network is outside."""
    room.write(
        "addresses.yml", "pods: {one: {a: 10.3.1.0/24, b: 10.3.2.0/24, c: 10.3.3.0/24}, two: {d: 10.5.1.0/24}}\n"
    )
    dc = room.edit("  clusters:\n", SECOND).edit("      workers: {select: {role: worker}}\n", "").load()
    found = [masquerade(dc, name) for name in ("one", "two")]
    assert ["10.1.0.14/32" in known.beside for known in found if known] == [True, False]


def test_a_plan_says_as_whom_pods_go_out(room):
    """One line for each cluster that would change, with the reason; a spare has no pods."""
    dc = room.edit(NETWORK, NETWORK.replace("}", ", bgp: {peers: [10.1.0.9]}}")).load()
    (line,) = egress_lines(dc, ["a", "d"])
    assert line.startswith("pods of one reach what is outside with their own address (masquerade: auto, ")
    assert "10.1.0.9" in line
    assert list(egress_lines(dc, [])) == []


def test_a_new_node_is_no_change_of_the_others():
    """What a node lets out does not name its fellows: a hall of thousands is not converged for one more."""
    dc = load_datacenter("lab-ha")
    found = masquerade(dc, "lab-ha")
    assert found is not None
    assert not any(
        str(host.address) in range_ for host in dc.hosts.values() for range_ in (*found.never, *found.beside)
    )
