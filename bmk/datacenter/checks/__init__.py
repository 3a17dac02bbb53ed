"""Cross checks between parts of a file. One function each; a new one is a line in CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bmk.datacenter.checks.addressing import (
    addresses_in_their_networks,
    allocated_pods,
    name_servers,
    overlapping_ranges,
    pools_inside,
    unique_addresses,
)
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
from bmk.datacenter.checks.hardening import (
    expected_somewhere,
    known_waivers,
    living_waivers,
    plugins_that_are_root,
    settled_namespaces,
)
from bmk.datacenter.checks.identity import (
    attestable,
    disks_named,
    known_members,
    known_references,
    names_of_many,
    names_of_their_own,
    proven_identities,
    unique_identities,
)
from bmk.datacenter.draft import Draft
from bmk.datacenter.problems import Problem

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
