"""Waivers and expected differences name what exists and end; settings of hardening do not contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from bmk.datacenter.checks.identity import ROLES
from bmk.datacenter.draft import Draft
from bmk.datacenter.model import Waiver
from bmk.datacenter.problems import Problem, did_you_mean
from bmk.document import Loc
from bmk.hardening.controls import BY_ID


def known_waivers(draft: Draft) -> Iterator[Problem]:
    """A waiver is for a control that exists and hosts that exist."""
    for i, waiver in draft.waivers.items():
        loc: Loc = ("spec", "waivers", i)
        if waiver.control not in BY_ID:
            yield Problem(
                (*loc, "control"), f"there is no control {waiver.control!r}", did_you_mean(waiver.control, BY_ID)
            )
        for j, host in enumerate(waiver.hosts):
            if not draft.known("host", host):
                hint = did_you_mean(host, draft.names["host"])
                yield Problem((*loc, "hosts", j), f"there is no host {host!r}", hint)


def living_waivers(draft: Draft) -> Iterator[Problem]:
    """No waiver has expired, and no control of a host is waived twice."""
    today = datetime.now(UTC).date()
    for i, waiver in draft.waivers.items():
        loc: Loc = ("spec", "waivers", i)
        if waiver.until is not None and waiver.until < today:
            what = f"the waiver of {waiver.control} ended on {waiver.until}"
            yield Problem((*loc, "until"), what, "drop it, or decide anew and say until when")
        for j, other in draft.waivers.items():
            if j < i and _same(waiver, other):
                yield Problem(
                    (*loc, "control"), f"{waiver.control} is already waived", other=("spec", "waivers", j, "control")
                )


def settled_namespaces(draft: Draft) -> Iterator[Problem]:
    """A namespace has a mode or is exempt."""
    for name, cluster in draft.clusters.items():
        loc: Loc = ("spec", "clusters", name, "hardening", "groups")
        groups = cluster.hardening.groups
        for namespace in groups.namespaces:
            if namespace in groups.exempt:
                other: Loc = (*loc, "exempt")
                what = f"{namespace} has a mode and is exempt"
                yield Problem((*loc, "namespaces", namespace), what, "keep one of them", key=True, other=other)


def plugins_that_are_root(draft: Draft) -> Iterator[Problem]:
    """cilium and calico run with group 0 in kube-system: denying it there leaves the cluster without a network."""
    for name, cluster in draft.clusters.items():
        groups, plugin = cluster.hardening.groups, cluster.network.plugin
        if plugin in ("cilium", "calico") and groups.namespaces.get("kube-system") == "deny":
            loc: Loc = ("spec", "clusters", name, "hardening", "groups", "namespaces", "kube-system")
            what = f"{plugin} runs with group 0 in kube-system, which denies it"
            yield Problem(
                loc, what, "say audit there, or take the plug-in routed", other=(*loc[:3], "network", "plugin")
            )


def _same(a: Waiver, b: Waiver) -> bool:
    return a.control == b.control and (not a.hosts or not b.hosts or bool(set(a.hosts) & set(b.hosts)))


def expected_somewhere(draft: Draft) -> Iterator[Problem]:
    """Expected differences name hosts, racks, roles, profiles and clusters that exist."""
    racks = frozenset(host.rack for host in draft.hosts)
    known = ROLES | racks | draft.names["host"] | draft.names["profile"] | draft.names["cluster"]
    for i, entry in enumerate(draft.expected):
        for j, name in enumerate(entry.hosts):
            if name not in known:
                what = f"there is no host, rack, role, profile or cluster {name!r}"
                yield Problem(("spec", "expected", i, "hosts", j), what, did_you_mean(name, known))
