"""`bmk reset`: a cluster ends. Its machines stay installed and on, and the next provision makes it anew."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bmk.datacenter.resolve import DataCenter
from bmk.engine.action import Action
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.left_alone import left_alone
from bmk.journal.records import BootstrapRecord, MembershipRecord, ReinstallOrder, ResetOrder, RetiredRecord
from bmk.phases.cleaned import Cleaned
from bmk.phases.forgotten import Forgotten
from bmk.phases.reachable import Reachable
from bmk.phases.started import Started

RESET = Action("reset", (Started(), Reachable(), Cleaned(), Forgotten()), takes=frozenset({"reset"}), guarded=False)


def reset_of(dc: DataCenter, journal: Journal, cluster: str, by: str) -> dict[str, ResetOrder]:
    """What is to be on record of the hosts of a cluster; none when there is no cluster. Changes nothing.

    Raises PreflightRefused for a host that is in maintenance or is to be installed anew.
    """
    under_way = {n: o for n, o in ResetOrder.load_all(journal).items() if o.cluster == cluster and n in dc.hosts}
    if under_way:
        return under_way
    known = MembershipRecord.load_all(journal).keys() | BootstrapRecord.load_all(journal).keys()
    installed, ordered = journal.records("host_keys"), ReinstallOrder.load_all(journal)
    retired, alone = RetiredRecord.load_all(journal), left_alone(journal, dc.name)
    hosts = [h.name for h in dc.members(cluster) if h.name in installed and h.name not in retired]
    for name in hosts:
        if name in alone:
            raise PreflightRefused(alone[name].why, where=name, hint=alone[name].next)
        if name in ordered:
            hint = f"bmk reinstall {dc.name} {name} goes on with it, and with --cancel takes it back"
            raise PreflightRefused("it is to be installed anew", where=name, hint=hint)
    if not known & set(hosts):
        return {}
    order = ResetOrder(at=time.time(), cluster=cluster, by=by)
    return dict.fromkeys(hosts, order)


def order_reset(journal: Journal, wanted: Mapping[str, ResetOrder]) -> list[str]:
    """Write it down, all or none; names of hosts of which nothing was on record before."""
    before = ResetOrder.load_all(journal)
    new = [name for name in wanted if name not in before]
    with journal.transaction():
        for name in new:
            wanted[name].save(journal, name)
            text = f"cluster {wanted[name].cluster} is to be reset, by {wanted[name].by}"
            journal.append(Event("bmk", "host.reset", text, name))
    return new


def withdraw_reset(journal: Journal, names: list[str]) -> None:
    """Of these hosts nothing was begun."""
    with journal.transaction():
        for name in names:
            ResetOrder.drop(journal, name)
            journal.append(Event("bmk", "host.reset", "its cluster is not to be reset after all", name))
