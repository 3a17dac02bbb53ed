"""`bmk remove`: hosts out of their cluster for good. Nothing installs them again unless a person says so."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bmk.actions.reinstall import without_control_plane
from bmk.boot import grants
from bmk.datacenter.resolve import DataCenter, Host
from bmk.engine.action import Action
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.records import MembershipRecord, ReinstallOrder, ResetOrder, RetiredRecord
from bmk.phases.cleaned import Cleaned
from bmk.phases.left import Left
from bmk.phases.retired import Retired
from bmk.phases.shut_down import ShutDown

REMOVE = Action(
    "remove",
    (Left(), Cleaned(), ShutDown(), Retired()),
    takes=frozenset({"maintenance", "removed", "reset"}),
    guarded=False,
)


def removal_of(
    dc: DataCenter, journal: Journal, hosts: Sequence[Host], wish: RetiredRecord
) -> dict[str, RetiredRecord]:
    """What is to be on record of these hosts: since when stays, of what goes on. Changes nothing.

    Raises PreflightRefused for a host that is not installed, that is being installed or is to be, and when a cluster
    would have no control plane any more.
    """
    under_way, ordered = RetiredRecord.load_all(journal), ReinstallOrder.load_all(journal)
    installed = journal.records("host_keys")
    for host in hosts:
        grant = grants.current(journal, host.name, time.time())
        if host.name in ordered or (grant is not None and grant.claimed is not None):
            hint = f"bmk reinstall {dc.name} {host.name} goes on with it, and with --cancel takes it back"
            raise PreflightRefused("it is to be installed anew, or is just being installed", where=host.name, hint=hint)
        if host.name not in installed and host.name not in under_way:
            hint = f"take {host.name} out of {dc.source}"
            raise PreflightRefused("not installed: there is nothing to remove", where=host.name, hint=hint)
    _refuse_headless(dc, journal, {h.name for h in hosts} | ordered.keys() | under_way.keys())
    return {h.name: under_way.get(h.name) or wish.model_copy(update={"cluster": h.cluster}) for h in hosts}


def _refuse_headless(dc: DataCenter, journal: Journal, going: set[str]) -> None:
    """A cluster keeps a control plane, or ends as a whole."""
    joined, ending = MembershipRecord.load_all(journal), {o.cluster for o in ResetOrder.load_all(journal).values()}
    ends = {
        h.cluster
        for h in dc.hosts.values()
        if h.cluster and h.role == "control_plane" and h.name in joined and h.name in going
    }
    for cluster in ends - ending:
        planes = [h.name for h in dc.members(cluster, "control_plane") if h.name in joined]
        if cluster in without_control_plane(dc, going, joined) or all(name in going for name in planes):
            raise PreflightRefused(
                f"cluster {cluster} would have no control plane any more",
                why=f"its control planes: {', '.join(planes)}",
                hint=f"bmk reset {dc.name} {cluster} ends the cluster as a whole",
            )


def order_removal(journal: Journal, wanted: dict[str, RetiredRecord]) -> list[str]:
    """Write it down, all or none; names of hosts of which nothing was on record before."""
    before = RetiredRecord.load_all(journal)
    new = [name for name in wanted if name not in before]
    with journal.transaction():
        for name in new:
            record = wanted[name]
            record.save(journal, name)
            why = f": {record.reason}" if record.reason else ""
            journal.append(Event("bmk", "host.removal", f"to be removed for good, by {record.by}{why}", name))
    return new


def withdraw_removal(journal: Journal, names: Sequence[str]) -> None:
    """Of these hosts nothing was begun."""
    with journal.transaction():
        for name in names:
            RetiredRecord.drop(journal, name)
            journal.append(Event("bmk", "host.removal", "not to be removed after all", name))
