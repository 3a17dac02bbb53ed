"""Allocation: what was given is kept, whoever comes and goes; nothing is given twice or where it must not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmk.datacenter.addresses import Pool, node_ranges, settle
from bmk.datacenter.draft import Allocations, Draft, Placed
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.model import BmcSpec, Cluster, Dhcp, HostSpec, Network, Nic
from bmk.datacenter.write import write_addresses
from bmk.errors import ConfigError

POOL = IPv4Network("10.1.0.64/27")
NETWORK = Network(
    cidr=IPv4Network("10.1.0.0/25"),
    gateway=IPv4Address("10.1.0.1"),
    dhcp=Dhcp(pool=POOL),
    reserved=(IPv4Network("10.1.0.0/29"),),
)
CLUSTER = Cluster.model_validate(
    {
        "kubernetes": {"version": "1.37.2"},
        "control_plane": {"hosts": []},
        "workers": {"select": {}},
        "network": {"pods": "10.3.0.0/18", "services": "10.4.0.0/16"},
    }
)
names = st.sets(st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True), max_size=25)


def draft(hosts: list[str], have: Allocations, reserved: dict[str, IPv4Address] | None = None) -> Draft:
    """A data center of hosts in one network and one cluster, some with an address of their own."""
    placed = tuple(
        Placed(("spec",), "r1", ("nodes",), _host(name, number, (reserved or {}).get(name)))
        for number, name in enumerate(hosts)
    )
    everyone = {"host": frozenset(hosts), "network": frozenset(["nodes"]), "cluster": frozenset(["c"])}
    return Draft(None, {"nodes": NETWORK}, {}, placed, {"c": CLUSTER}, have, everyone)


def _host(name: str, number: int, address: IPv4Address | None) -> HostSpec:
    nic, bmc = Nic(mac=f"52:54:00:00:00:{number:02x}"), BmcSpec(address=IPv4Address(f"10.2.0.{number + 1}"))
    return HostSpec(name=name, profile="p", serial=name, nics=(nic,), bmc=bmc, address=address)


@given(st.lists(names, min_size=1, max_size=8))
@settings(max_examples=150)
def test_hosts_that_stay_are_never_renumbered(rosters):
    """Through any history of added and removed hosts, a host that stays keeps its address and its pod range."""
    have = Allocations()
    for roster in rosters:
        after = settle(draft(sorted(roster), have))
        for name in roster & have.addresses.keys():
            assert after.addresses[name] == have.addresses[name]
            assert after.pods["c"][name] == have.pods["c"][name]
        assert after.addresses.keys() == after.pods["c"].keys() == roster
        have = after


@given(names, st.randoms())
def test_order_of_the_file_does_not_matter(roster, random):
    """The same hosts in another order get the same addresses."""
    shuffled = sorted(roster)
    random.shuffle(shuffled)
    assert settle(draft(sorted(roster), Allocations())) == settle(draft(shuffled, Allocations()))


@given(names, st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.integers(2, 126), max_size=10))
def test_nothing_is_given_twice_or_where_it_must_not(roster, wishes):
    """Allocated addresses are free: not reserved by a host or a range, not DHCP's, not the gateway's, first or last."""
    reserved = {name: IPv4Address(0x0A010000 + n) for name, n in wishes.items()}
    got = settle(draft(sorted(roster | reserved.keys()), Allocations(), reserved)).addresses
    assert len(set(got.values())) == len(got)
    assert not set(got.values()) & set(reserved.values())
    assert got.keys() == roster - reserved.keys()
    for address in got.values():
        assert address in NETWORK.cidr
        assert not any(address in never for never in (*NETWORK.reserved, POOL))
        assert address not in (NETWORK.gateway, NETWORK.cidr.network_address, NETWORK.cidr.broadcast_address)


@given(names)
def test_pod_ranges_are_disjoint_parts_of_the_cluster(roster):
    """Each node's pod range is one of the cluster's, and no two nodes share one."""
    pods = settle(draft(sorted(roster), Allocations())).pods["c"]
    assert len(set(pods.values())) == len(roster)
    assert all(p.subnet_of(CLUSTER.network.pods) and p.prefixlen == CLUSTER.network.node_prefix for p in pods.values())


@given(names)
def test_settled_is_settled(roster):
    """Allocating a second time changes nothing."""
    once = settle(draft(sorted(roster), Allocations()))
    assert settle(draft(sorted(roster), once)) == once


def test_full_network_is_refused():
    """When no address is left, the host that found none is named; nobody else's is taken."""
    room = len(Pool(NETWORK))
    with pytest.raises(ConfigError, match="nothing is left to allocate for h"):
        settle(draft([f"h{i:03d}" for i in range(room + 1)], Allocations()))


def test_every_free_address_can_be_given():
    """A network fills up to its last free address, so collisions of names waste nothing."""
    hosts = [f"h{i:03d}" for i in range(60)]
    assert len(set(settle(draft(hosts, Allocations())).addresses.values())) == 60
    assert len(Pool(replace_reserved())) == 126 - 32


def replace_reserved() -> Network:
    return NETWORK.model_copy(update={"reserved": ()})


def test_pool_counts_around_its_holes():
    """Numbers of a pool run over the free addresses in order, without those of DHCP and reservations."""
    pool = Pool(NETWORK)
    assert [str(pool[0]), str(pool[55]), str(pool[56]), str(pool[len(pool) - 1])] == [
        "10.1.0.8",
        "10.1.0.63",
        "10.1.0.96",
        "10.1.0.126",
    ]


def test_host_that_reserves_gives_its_allocation_back():
    """A host that gets an address of its own in dc.yml needs no line in addresses.yml any more."""
    have = settle(draft(["a", "b"], Allocations()))
    own = {"a": IPv4Address("10.1.0.100")}
    assert settle(draft(["a", "b"], have, own)).addresses == {"b": have.addresses["b"]}


def test_node_ranges_of_a_cluster():
    """A /18 of pods has room for 64 nodes of /24, and none when a node's range is larger than the cluster's."""
    assert node_ranges(CLUSTER.network) == 64
    assert node_ranges(CLUSTER.network.model_copy(update={"node_prefix": 16})) == 0


def test_write_adds_drops_and_keeps(room):
    """`--write` adds lines of new hosts, drops those of hosts that are gone, keeps the rest, and then does nothing."""
    room.edit("address: 10.1.0.14, ", "")
    first = write_addresses(room.directory)
    assert (list(first.added), first.dropped) == (["addresses.d"], {})
    given_to_d = room.load().hosts["d"].address
    room.edit("{name: d", "{name: e")
    second = write_addresses(room.directory)
    assert (set(second.added), set(second.dropped)) == (
        {"addresses.e", "pods.one.e"},
        {"addresses.d", "pods.one.d"},
    )
    assert room.load().hosts["a"].pods == IPv4Network("10.3.1.0/24")
    assert second.dropped["addresses.d"] == str(given_to_d)
    before = second.path.stat().st_mtime_ns
    assert write_addresses(room.directory).added == {}
    assert second.path.stat().st_mtime_ns == before


def test_wrong_file_is_not_written(room):
    """Nothing is allocated while dc.yml has a problem."""
    before = (room.directory / "addresses.yml").read_text()
    room.edit("address: 10.1.0.14, ", "").edit("serial: S3", "serial: S1")
    with pytest.raises(ConfigError):
        write_addresses(room.directory)
    assert (room.directory / "addresses.yml").read_text() == before


def test_load_writes_nothing(room):
    """Loading only reads: a file without an address stays as it is, and so does its directory."""
    room.edit("address: 10.1.0.14, ", "")
    before = sorted(p.name for p in room.directory.iterdir())
    with pytest.raises(ConfigError):
        load_datacenter(room.directory)
    assert sorted(p.name for p in room.directory.iterdir()) == before


def test_hand_edited_line_is_respected():
    """A line that a person wrote into addresses.yml is what the host gets."""
    mine = Allocations(addresses={"a": IPv4Address("10.1.0.77")})
    assert settle(replace(draft(["a", "b"], mine))).addresses["a"] == IPv4Address("10.1.0.77")
