"""Builds a plan: asks every phase of an action about every host, and about every cluster.

Phases come from above, so that this stays pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bmk.datacenter.resolve import DataCenter, Host
from bmk.journal.left_alone import Kind
from bmk.plan.actual import Actual, ClusterActual, Observation
from bmk.plan.model import Change, HostPlan, Plan, Scope, ScopePlan


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A host of a group, and what will be known of it when the turn of the phase comes."""

    host: Host
    actual: Actual


@dataclass(frozen=True, slots=True)
class GroupView:
    """The whole of a cluster, or of a data center. `members` are the hosts that this run may change.

    `clusters` is the state of each cluster that has one of them, by name.
    """

    name: str
    members: tuple[GroupMember, ...]
    clusters: Mapping[str, ClusterActual]

    @property
    def cluster(self) -> ClusterActual:
        """Of a phase whose scope is a cluster."""
        return self.clusters[self.name]


class Planner(Protocol):
    """The pure half of a phase: `plan(host, actual)` when its scope is `host`, else `plan(view)`."""

    @property
    def scope(self) -> Scope: ...

    @property
    def replaces_disk(self) -> bool:
        """Whether a host with a change of this phase has a new disk afterwards."""

    @property
    def plan(self) -> Callable[..., list[Change]]: ...


class Planned(Protocol):
    """What is planned: `bmk.engine.action.Action`."""

    @property
    def name(self) -> str: ...

    @property
    def phases(self) -> Sequence[Planner]: ...

    @property
    def takes(self) -> Collection[Kind]:
        """Which hosts it touches of those that others leave alone."""


def build_plan(dc: DataCenter, action: Planned, hosts: Iterable[str], seen: Observation) -> Plan:
    """What `action` would do to `hosts`. The answer does not depend on the order of `hosts`.

    A phase is asked with what will be known when its turn comes: after one that replaces the disk, nothing of what was
    installed holds any more. Hosts that it leaves alone are of no group, either.
    """
    wanted = set(hosts)
    named = [h for h in dc.hosts.values() if h.name in wanted]
    alone = {h.name: why for h in named if (why := _alone(action, seen.hosts.get(h.name)))}
    chosen = [h for h in named if h.name not in alone]
    expected = {h.name: seen.hosts.get(h.name, Actual()) for h in chosen}
    changes: dict[str, list[Change]] = {h.name: [] for h in chosen}
    scoped: list[ScopePlan] = []
    for phase in action.phases:
        if phase.scope != "host":
            scoped += _scoped(dc, phase, chosen, expected, seen)
            continue
        for host in chosen:
            found = phase.plan(host, expected[host.name])
            changes[host.name] += found
            if found and phase.replaces_disk:
                expected[host.name] = expected[host.name].with_new_disk()
    plans = tuple(
        HostPlan(h.name, (), alone=alone[h.name])
        if h.name in alone
        else HostPlan(h.name, tuple(changes[h.name]), seen.hosts.get(h.name, Actual()).trouble)
        for h in named
    )
    return Plan(dc=dc.name, action=action.name, source_sha256=fingerprint(dc), hosts=plans, scoped=tuple(scoped))


def _alone(action: Planned, actual: Actual | None) -> str:
    left = actual.alone if actual is not None else None
    return "" if left is None or left.kind in action.takes else str(left)


def _scoped(
    dc: DataCenter, phase: Planner, hosts: Sequence[Host], expected: Mapping[str, Actual], seen: Observation
) -> list[ScopePlan]:
    """One plan for each group in which this phase has something to do."""
    found = []
    for name in dict.fromkeys(group for h in hosts if (group := group_of(dc, phase.scope, h)) is not None):
        members = tuple(GroupMember(h, expected[h.name]) for h in hosts if group_of(dc, phase.scope, h) == name)
        clusters = dict.fromkeys(m.host.cluster for m in members if m.host.cluster is not None)
        states = {cluster: seen.clusters.get(cluster, ClusterActual()) for cluster in clusters}
        view = GroupView(name, members, states)
        wanted = tuple(phase.plan(view))
        if wanted:
            found.append(ScopePlan(phase.scope, name, wanted))
    return found


def group_of(dc: DataCenter, scope: Scope, host: Host) -> str | None:
    """The group that a phase of this scope sees a host in; None: in none, so it leaves it alone."""
    return dc.name if scope == "datacenter" else host.cluster


def fingerprint(dc: DataCenter) -> str:
    """sha256 of the data center as resolved: the file, and what addresses.yml gave to each host.

    Two that say the same have the same fingerprint, however they are written.
    """
    hosts = {h.name: (str(h.address), str(h.bmc_address), str(h.pods)) for h in dc.hosts.values()}
    text = dc.spec.model_dump_json() + json.dumps(hosts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
