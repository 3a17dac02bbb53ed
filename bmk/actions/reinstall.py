"""`bmk reinstall`: hosts out of their cluster, installed anew and in again, one after the other as the rollout allows.

An order is on record before anything happens, so `bmk provision` carries it out as well, and the same command goes on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from bmk.actions.provision import PROVISION
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.left_alone import left_alone
from bmk.journal.records import (
    DrainRecord,
    MembershipRecord,
    ReinstallOrder,
    ReinstallProgress,
    RemovalRecord,
    RetiredRecord,
)

REINSTALL = replace(PROVISION, name="reinstall")


def order_reinstall(dc: DataCenter, journal: Journal, hosts: Sequence[Host]) -> list[str]:
    """Order it for these hosts, all or none; returns those of them that an order which is not carried out yet names.

    Raises PreflightRefused for a host that is not installed or is in maintenance, and when a cluster would lose all its
    control planes while other members stay.
    """
    pinned, under_way = journal.records("host_keys"), ReinstallProgress.load_all(journal)
    bare = [host.name for host in hosts if host.name not in pinned and host.name not in under_way]
    if bare:
        raise PreflightRefused("not installed", where=", ".join(bare), hint=f"bmk provision {dc.name} installs it")
    alone = left_alone(journal, dc.name)
    for host in (host for host in hosts if host.name in alone and alone[host.name].kind != "removed"):
        raise PreflightRefused(alone[host.name].why, where=host.name, hint=alone[host.name].next)
    joined = MembershipRecord.load_all(journal).keys()
    going = {h.name for h in hosts} | ReinstallOrder.load_all(journal).keys()
    for cluster, left in without_control_plane(dc, going, joined).items():
        raise PreflightRefused(
            f"cluster {cluster} would have no control plane any more",
            why=f"members that would stay, of a cluster that is gone: {', '.join(left)}",
            hint=f"name all hosts of the cluster, which begins anew then: bmk reinstall {dc.name} --limit {cluster}",
        )
    new = [host.name for host in hosts if host.name not in under_way]
    with journal.transaction():
        for host in (h for h in hosts if h.name in new):
            ReinstallOrder(at=time.time()).save(journal, host.name)
            ReinstallProgress(hosts=tuple(new), at=time.time()).save(journal, host.name)
            journal.append(Event("bmk", "host.reinstall", "is to be installed anew", host.name))
    return [host.name for host in hosts if host.name in under_way]


def withdraw_order(journal: Journal, hosts: Sequence[Host]) -> list[str]:
    """Take orders back whose hosts are what they were; the names of these. Raises PreflightRefused for others."""
    orders, removed = ReinstallOrder.load_all(journal), RemovalRecord.load_all(journal)
    ordered = [host.name for host in hosts if host.name in orders]
    retired = RetiredRecord.load_all(journal)  # one that was removed for good is that again
    gone = [name for name in ordered if name in removed and name not in retired]
    if gone:
        raise PreflightRefused(
            "taken out of its cluster already: what is installed there cannot join again",
            where=", ".join(gone),
            hint="let the reinstallation go on with the command that began it",
        )
    with journal.transaction():
        for name in ordered:
            ReinstallOrder.drop(journal, name)
            ReinstallProgress.drop(journal, name)
            DrainRecord.drop(journal, name)
            journal.append(Event("bmk", "host.reinstall", "is not to be installed anew after all", name))
    return ordered


def without_control_plane(dc: DataCenter, going: Collection[str], joined: Collection[str]) -> dict[str, list[str]]:
    """Clusters of which no control plane would stay, with the members that would. Pure."""
    found: dict[str, list[str]] = {}
    for cluster in dc.spec.clusters:
        members = [h for h in dc.members(cluster) if h.name in joined]
        staying = [h for h in members if h.name not in going]
        if len(staying) < len(members) and staying and not any(h.role == "control_plane" for h in staying):
            found[cluster] = [h.name for h in staying]
    return found
