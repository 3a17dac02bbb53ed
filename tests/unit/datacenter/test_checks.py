"""Cross checks: each spoils one thing of a good file and expects one complaint, at its place."""

from __future__ import annotations

import re
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPSet

from bmk.datacenter.checks.addressing import overlapping_ranges
from bmk.datacenter.draft import Allocations, Draft
from bmk.datacenter.model import Network

SECOND = """\
  clusters:
    two:
      kubernetes: {version: 1.36.3}
      control_plane: {hosts: [%s]}
      network: {pods: %s, services: 10.4.0.0/16}
"""

BMC = "{bmc: {kind: redfish, secret: bmc/tiny},"
WAIVED = "      network: {pods: 10.3.0.0/16, services: 10.4.0.0/16}\n"
WAIVER = WAIVED + "  waivers:\n    - {control: %s}\n"
BGP = WAIVED.replace("services: 10.4.0.0/16", "services: 10.4.0.0/16, bgp: {%s}")
GROUPS = WAIVED + "      hardening: {groups: {%s}}\n"

CASES = {
    "duplicate name": ("{name: d", "{name: a", "17:18 the name 'a' is already at .*:14:18"),
    "duplicate serial": ("serial: S4", "serial: S1", "17:43 the serial 'S1' is already at .*:14:43"),
    "no serial and no UUID": ("serial: S4", "serial: none", "17:43 serial none says nothing, and there is no uuid"),
    "a serial of a kit": ("serial: S4", "serial: Default string", "says nothing, and there is no uuid to know d by"),
    "a UUID of a kit": (
        "serial: S4",
        "serial: S4, uuid: 03000200-0400-0500-0006-000700080009",
        "is what firmware says of every machine without one .leave it out",
    ),
    "duplicate MAC": ("00:00:04", "00:00:01", "17:60 the MAC '52:54:00:00:00:01' is already at .*:14:60"),
    "duplicate address": ("10.1.0.14", "10.1.0.11", "10.1.0.11 of d is already that of a at .*:14:92"),
    "duplicate BMC address": ("10.2.0.4", "10.2.0.1", "10.2.0.1 of the BMC of d is already that of the BMC of a"),
    "host on the gateway": ("10.1.0.14", "10.1.0.1", "10.1.0.1 of d is already that of the gateway of nodes"),
    "host on the deployer": ("10.1.0.14", "10.1.0.2", "10.1.0.2 of d is already that of the deployer"),
    "host on the VIP": ("10.1.0.14", "10.1.0.10", "10.1.0.10 of d is already that of the VIP of one"),
    "host outside its network": ("10.1.0.14", "10.9.0.14", "10.9.0.14 is outside of the network nodes, 10.1.0.0/16"),
    "host on the network's first": ("10.1.0.14", "10.1.0.0", "10.1.0.0 is the first or last of the network nodes"),
    "host in the DHCP pool": ("10.1.0.14", "10.1.9.14", "10.1.9.14 lies in the DHCP pool of nodes, 10.1.9.0/24"),
    "BMC outside": ("10.2.0.4", "10.1.0.44", "10.1.0.44 is outside of the network bmc"),
    "gateway outside": ("gateway: 10.1.0.1,", "gateway: 10.9.0.1,", "10.9.0.1 is outside of the network nodes"),
    "deployer in the pool": ("{address: 10.1.0.2}", "{address: 10.1.9.2}", "10.1.9.2 lies in the DHCP pool of nodes"),
    "pool outside": ("pool: 10.1.9.0/24", "pool: 10.9.9.0/24", "the DHCP pool 10.9.9.0/24 is not inside 10.1.0.0/16"),
    "pods over nodes": ("pods: 10.3.0.0/16", "pods: 10.0.0.0/14", "overlaps the pod range of one, 10.0.0.0/14,"),
    "services over BMCs": ("services: 10.4.0.0/16", "services: 10.2.8.0/24", "10.2.8.0/24, overlaps the network bmc"),
    "services over pods": ("services: 10.4.0.0/16", "services: 10.3.0.0/16", "service range of one, .* overlaps the"),
    "even control plane": ("hosts: [a, b, c]", "hosts: [a, b]", "22:30 one has 2 control planes .*one, three or five"),
    "empty control plane": ("hosts: [a, b, c]", "hosts: []", "22:30 one has 0 control planes"),
    "control plane twice": ("hosts: [a, b, c]", "hosts: [a, b, b]", "'b' is already a control plane of one"),
    "unknown control plane": ("hosts: [a, b, c]", "hosts: [a, b, cc]", "22:37 there is no host 'cc' .did you mean 'c'"),
    "worker is control plane": ("{select: {role: worker}}", "{hosts: [d, c]}", "23:28 'c' is a control plane of one"),
    "no proof, no reason": (BMC, f"{BMC} attest: {{way: none}},", "10:65 machines without a proof need a reason"),
    "a reason for a proof": (
        BMC,
        f"{BMC} attest: {{way: media, reason: it is good}},",
        "10:80 a reason is for none only .drop it",
    ),
    "a way that this BMC lacks": (
        BMC,
        f"{BMC} attest: {{way: mailbox}},",
        "10:65 a BMC of kind redfish carries no mailbox .use media or console or tpm",
    ),
    "a TPM that the lab lacks": (
        BMC,
        f"{BMC} attest: {{way: tpm}}, lab: {{kind: container, tpm: true}},",
        "10:65 the lab's machines of this profile have no TPM .lab: {kind: vm, tpm: true}",
    ),
    "unknown control": (WAIVED, WAIVER % "socket-grop, reason: it is a test", "there is no control 'socket-grop'"),
    "waiver without reason": (WAIVED, WAIVER % "runtime-no-criu", "26:7 the key 'reason' is missing in waivers.0"),
    "waiver that ended": (
        WAIVED,
        WAIVER % "runtime-no-criu, reason: it is a test, until: 2020-01-31",
        "the waiver of runtime-no-criu ended on 2020-01-31 .drop it",
    ),
    "waiver for no host": (
        WAIVED,
        WAIVER % "runtime-no-criu, reason: it is a test, hosts: [e]",
        "26:64 there is no host 'e'",
    ),
    "waived twice": (
        WAIVED,
        WAIVER % "runtime-no-criu, reason: it is a test"
        + WAIVER.partition("\n")[2].partition("\n")[2] % "runtime-no-criu, reason: once more",
        "27:17 runtime-no-criu is already waived at .*:26:17",
    ),
    "reflector of no cluster": (WAIVED, BGP % "reflectors: [a, e]", "24:81 'e' is no node of one"),
    "reflectors behind routers": (
        WAIVED,
        BGP % "peers: [10.1.0.9], reflectors: [a]",
        "a would have nothing to reflect",
    ),
    "routes of no router": (WAIVED, BGP % "accept: [0.0.0.0/0]", "one has no routers that could announce this"),
    "masquerading by another plug-in": (
        WAIVED,
        WAIVED.replace("{pods", "{plugin: cilium, masquerade: on, pods"),
        "with the plug-in cilium bmk masquerades nothing",
    ),
    "an exception to nothing": (
        WAIVED,
        WAIVED.replace(
            "services: 10.4.0.0/16", "services: 10.4.0.0/16, masquerade: off, masquerade_except: [10.8.0.0/16]"
        ),
        "nothing is masqueraded in one: masquerade is off .leave it out",
    ),
    "an exception where routers know the way": (
        WAIVED,
        BGP.replace("bgp", "masquerade_except: [10.8.0.0/16], bgp") % "peers: [10.1.0.9]",
        "its routers learn the ranges of pods",
    ),
    "mode with a typo": (
        WAIVED,
        GROUPS % "default: dney",
        "'dney' is not one of: audit, warn, deny .did you mean 'deny'",
    ),
    "mode of a namespace with a typo": (
        WAIVED,
        GROUPS % "namespaces: {pay: Deny}",
        "'Deny' is not one of: audit, warn",
    ),
    "exempt and denied": (
        WAIVED,
        GROUPS % "namespaces: {pay: deny}, exempt: [pay]",
        "pay has a mode and is exempt at .*keep one of them",
    ),
    "no network": (
        WAIVED,
        (GROUPS % "namespaces: {kube-system: deny}").replace("{pods", "{plugin: cilium, pods"),
        "cilium runs with group 0 in kube-system, which denies it .*say audit there",
    ),
    "no endpoint": ("{vip: 10.1.0.10}", "{port: 6443}", "one has 3 control planes and no common endpoint"),
    "two endpoints": ("{vip: 10.1.0.10}", "{vip: 10.1.0.10, external: lb.example}", "a VIP and an external balancer"),
    "VIP outside": ("vip: 10.1.0.10", "vip: 10.7.0.10", "the VIP 10.7.0.10 is outside of the control planes' network"),
    "VIP in the pool": ("vip: 10.1.0.10", "vip: 10.1.9.10", "21:23 the VIP 10.1.9.10 lies in the DHCP pool of nodes"),
    "version not locked": ("version: 1.37.2", "version: 1.37.3", "1.37.3 is not in the lock file .did you mean"),
    "version too old": ("version: 1.37.2", "version: 1.25.2", "1.25.2 is outside what this bmk supports"),
    "unknown profile": ("{name: d, profile: box", "{name: d, profile: bax", "no profile 'bax' .did you mean 'box'"),
    "unknown network": ('04"}', '04", network: node}', "no network 'node' .did you mean 'nodes'"),
    "network not in the rack": ('04"}', '04", network: bmc}', "the rack r1 has no network 'bmc'"),
    "unknown network of a rack": ("    r1:\n", "    r1:\n      networks: [nodes, strg]\n", "no network 'strg'"),
    "no disk": ('disk: {size: ">=400GB"}', "disk: {}", "nothing says which disk of a may be wiped"),
    "the deployer's name": ("{name: d", "{name: deployer", "'deployer' is the boot server's name"),
    "room for pods": ("10.3.0.0/16,", "10.3.0.0/23, node_prefix: 24,", "has 2 ranges of /24, one has 4 nodes"),
}


@pytest.mark.parametrize("case", CASES)
def test_cross_check(complaint, case):
    """Each inconsistency is found, placed at the line that has to change, and told in terms of the file."""
    old, new, expected = CASES[case]
    found = complaint(old, new)
    assert any(re.search(expected, text) for text in found), "\n".join(found)


def test_machines_without_a_serial_are_told_apart_by_their_uuids(room):
    """Two of them may both say none: that is no serial that is there twice."""
    uuid = "uuid: 6d2f6b1e-8f2f-4f6a-9c55-0b6d0a77000"
    room.edit("serial: S4", f"serial: none, {uuid}4")
    hosts = room.edit("serial: S1", f"serial: none, {uuid}1").load().hosts
    assert [hosts[name].serial for name in ("a", "d")] == ["none", "none"]


def test_host_in_two_clusters(complaint):
    """A host that two clusters claim is refused, with both named."""
    found = complaint("  clusters:\n", SECOND % ("d", "10.5.0.0/16"))
    assert any("d belongs to the clusters two and one" in text for text in found)


def test_pods_of_two_clusters_must_not_meet(complaint):
    """Pod ranges are routed, so those of two clusters must differ; service ranges may be the same."""
    found = complaint("  clusters:\n", SECOND % ("a", "10.3.128.0/17"))
    assert any("the pod range of two, 10.3.128.0/17, overlaps the pod range of one, 10.3.0.0/16," in t for t in found)
    assert not any("service" in text for text in found)


def test_missing_allocation_names_the_next_command(room):
    """A host that has no address yet is told so once, with the command that allocates."""
    room.edit("address: 10.1.0.14, ", "")
    (problem,) = room.problems()
    assert (problem.line, problem.what) == (17, "d has no address yet")
    assert problem.hint.startswith("bmk validate --write")


def test_pod_range_given_twice(room):
    """Two nodes with one pod range in addresses.yml are refused."""
    (problem,) = room.edit("10.3.4.0/24", "10.3.1.0/24", "addresses.yml").problems()
    assert problem.what.startswith("10.3.1.0/24 is already given away at")


networks = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0A00FFFF),
    st.integers(16, 30),
)


@given(st.lists(networks, min_size=2, max_size=6))
def test_overlaps_agree_with_netaddr(cidrs):
    """Ranges are called overlapping exactly when netaddr's sets of their addresses meet."""
    draft = Draft(None, {f"n{i}": Network(cidr=c) for i, c in enumerate(cidrs)}, {}, (), {}, Allocations(), {})
    sets = [IPSet([str(c)]) for c in cidrs]
    meet = sum(not a.isdisjoint(b) for i, a in enumerate(sets) for b in sets[i + 1 :])
    assert len(list(overlapping_ranges(draft))) == meet
