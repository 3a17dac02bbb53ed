"""Which hosts may be installed anew, and the order to do it: `bmk provision` carries it out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.installation import AGAIN, order_again


def order_reinstall(dc: DataCenter, journal: Journal, hosts: Sequence[Host]) -> None:
    """Write down that these hosts are to be installed anew, all or none. Raises PreflightRefused."""
    pinned, joined = journal.records("host_keys"), journal.records("joined")
    bare = [host.name for host in hosts if host.name not in pinned]
    if bare:
        raise PreflightRefused("not installed", where=", ".join(bare), hint=f"bmk provision {dc.name} installs it")
    left = left_behind(dc, hosts, joined, journal.records(AGAIN))
    if left:
        raise PreflightRefused(
            "a control plane cannot be taken out of a cluster that goes on",
            why=f"etcd would count it as a member that is dead; members that would stay: {', '.join(left)}",
            hint=f"name all hosts of the cluster, which begins anew then: bmk reinstall {dc.name} --limit CLUSTER",
        )
    with journal.transaction():
        for host in hosts:
            order_again(journal, host.name)
            journal.append(Event("bmk", "host.reinstall", "is to be installed anew", host.name))


def withdraw_order(journal: Journal, hosts: Sequence[Host]) -> list[str]:
    """Take orders back that are not carried out yet; the names of their hosts."""
    ordered = [host.name for host in hosts if host.name in journal.records(AGAIN)]
    with journal.transaction():
        for name in ordered:
            journal.forget(name, AGAIN)
            journal.append(Event("bmk", "host.reinstall", "is not to be installed anew after all", name))
    return ordered


def left_behind(
    dc: DataCenter, hosts: Sequence[Host], joined: Mapping[str, Any], ordered: Collection[str]
) -> list[str]:
    """Members that stay of clusters which would lose a control plane. Pure."""
    going = {host.name for host in hosts} | set(ordered)
    torn = {host.cluster for host in hosts if host.role == "control_plane" and host.name in joined}
    return [h.name for h in dc.hosts.values() if h.cluster in torn and h.name in joined and h.name not in going]
