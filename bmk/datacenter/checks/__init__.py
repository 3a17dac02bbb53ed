"""Cross checks: what the shape of a file cannot say. One function each; a new one is a line in CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bmk.datacenter.checks.addressing import addresses_in_their_networks, allocated_pods, unique_addresses
from bmk.datacenter.checks.attestation import attestable
from bmk.datacenter.checks.clusters import (
    control_planes,
    deployer_ports,
    endpoints,
    enforced_policies,
    masquerading,
    one_cluster_each,
    pod_ranges,
    reflectors,
)
from bmk.datacenter.checks.expected import expected_somewhere
from bmk.datacenter.checks.hardening import known_waivers, living_waivers, plugins_that_are_root, settled_namespaces
from bmk.datacenter.checks.identity import (
    disks_named,
    known_members,
    known_references,
    proven_identities,
    unique_identities,
)
from bmk.datacenter.checks.names import names_of_many, names_of_their_own
from bmk.datacenter.checks.ranges import overlapping_ranges, pools_inside
from bmk.datacenter.checks.resolvers import name_servers
from bmk.datacenter.draft import Draft
from bmk.datacenter.problem import Problem

Check = Callable[[Draft], Iterator[Problem]]

CHECKS: tuple[Check, ...] = (
    unique_identities,
    proven_identities,
    names_of_their_own,
    names_of_many,
    known_references,
    known_members,
    disks_named,
    attestable,
    unique_addresses,
    addresses_in_their_networks,
    overlapping_ranges,
    pools_inside,
    control_planes,
    one_cluster_each,
    endpoints,
    pod_ranges,
    reflectors,
    enforced_policies,
    masquerading,
    name_servers,
    deployer_ports,
    allocated_pods,
    known_waivers,
    living_waivers,
    settled_namespaces,
    plugins_that_are_root,
    expected_somewhere,
)
