"""`bmk maintenance`: hosts drained and off for as long as a person wants, and back.

The record is written before anything happens, so every other action leaves the host alone from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmk.datacenter.resolve import DataCenter, Host
from bmk.engine.action import Action
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.left_alone import Kind
from bmk.journal.records import MaintenanceRecord, MembershipRecord, ReinstallOrder
from bmk.phases.drained import Drained
from bmk.phases.reachable import Reachable
from bmk.phases.shut_down import ShutDown
from bmk.phases.started import Started
from bmk.phases.uncordoned import Uncordoned
from bmk.phases.verified import Verified

_TAKES = frozenset[Kind]({"maintenance"})
BEGIN = Action("maintenance on", (Drained(), ShutDown()), takes=_TAKES, guarded=False)
END = Action("maintenance off", (Started(), Reachable(), Verified(), Uncordoned()), takes=_TAKES, guarded=False)


def maintenance_of(
    dc: DataCenter, journal: Journal, hosts: Sequence[Host], wish: MaintenanceRecord
) -> dict[str, MaintenanceRecord]:
    """What is to be on record of these hosts: since when stays, of what goes on. Changes nothing.

    Raises PreflightRefused for a host that is not installed or is to be installed anew, and when a cluster would have
    more than one control plane in maintenance, or no other.
    """
    under_way, installed = MaintenanceRecord.load_all(journal), journal.records("host_keys")
    ordered = ReinstallOrder.load_all(journal)
    for host in hosts:
        if host.name not in installed:
            raise PreflightRefused("not installed", where=host.name, hint=f"bmk provision {dc.name} installs it")
        if host.name in ordered:
            hint = f"bmk reinstall {dc.name} {host.name} goes on with it, and with --cancel takes it back"
            raise PreflightRefused("it is to be installed anew", where=host.name, hint=hint)
    going = {host.name for host in hosts} | under_way.keys()
    for cluster in {h.cluster for h in hosts if h.cluster and h.role == "control_plane"}:
        _refuse_headless(dc, cluster, going, MembershipRecord.load_all(journal), under_way)
    return {h.name: _goes_on(under_way.get(h.name), wish) for h in hosts}


def _refuse_headless(
    dc: DataCenter,
    cluster: str,
    going: set[str],
    joined: Mapping[str, MembershipRecord],
    under_way: Mapping[str, MaintenanceRecord],
) -> None:
    planes = [h.name for h in dc.members(cluster, "control_plane") if h.name in joined]
    away = [name for name in planes if name in going]
    if len(away) > 1:
        before = [name for name in away if name in under_way]
        hint = f"bmk maintenance {dc.name} {before[0]} off" if before else "name one of them"
        raise PreflightRefused(
            f"cluster {cluster} has one control plane in maintenance at a time",
            where=", ".join(away),
            why=f"{before[0]} is in maintenance" if before else "etcd has to keep its quorum whatever happens then",
            hint=hint,
        )
    if away and len(planes) == 1:
        raise PreflightRefused(
            f"the only control plane of cluster {cluster}: without it there is no API",
            where=away[0],
            hint=f"bmk power shutdown {dc.name} {away[0]}, when the cluster may be away",
        )


def _goes_on(before: MaintenanceRecord | None, wish: MaintenanceRecord) -> MaintenanceRecord:
    if before is None:
        return wish
    return before.model_copy(update={"cut": wish.cut, "reason": wish.reason or before.reason})


def order_maintenance(journal: Journal, wanted: Mapping[str, MaintenanceRecord]) -> list[str]:
    """Write it down, all or none; names of hosts that were not in maintenance before."""
    before = MaintenanceRecord.load_all(journal)
    new = [name for name in wanted if name not in before]
    with journal.transaction():
        for name, record in wanted.items():
            record.save(journal, name)
            if name in new:
                text = f"into maintenance, by {record.by}: {record.reason}"
                journal.append(Event("bmk", "host.maintenance", text, name))
    return new


def withdraw_maintenance(journal: Journal, names: Sequence[str]) -> None:
    """Of these hosts nothing was begun."""
    with journal.transaction():
        for name in names:
            MaintenanceRecord.drop(journal, name)
            journal.append(Event("bmk", "host.maintenance", "not into maintenance after all", name))
