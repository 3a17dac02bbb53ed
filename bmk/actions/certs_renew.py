"""`bmk certs renew`: certificates that end soon, on control planes one after the other, and the deployer's own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from bmk.datacenter.resolve import Host
from bmk.engine.action import Action
from bmk.journal import Event, Journal
from bmk.journal.host_status import RENEWING, Projection
from bmk.journal.records import MembershipRecord, RenewalOrder
from bmk.phases.certificates_renewed import CertificatesRenewed
from bmk.phases.credentials_renewed import CredentialsRenewed
from bmk.phases.urgent_renewed import UrgentRenewed

RENEW = Action("certs renew", (UrgentRenewed(), CertificatesRenewed(), CredentialsRenewed()))


def new_orders(journal: Journal, hosts: Sequence[Host]) -> dict[str, RenewalOrder]:
    """What `--all` asks for: orders of these hosts that are not done yet, or else one for each control plane."""
    under_way = RenewalOrder.load_all(journal)
    going_on = {host.name: under_way[host.name] for host in hosts if host.name in under_way}
    joined = MembershipRecord.load_all(journal)
    planes = [host for host in hosts if host.role == "control_plane" and host.name in joined]
    return going_on or {host.name: RenewalOrder(at=time.time()) for host in planes}


def order_renewal(journal: Journal, orders: Mapping[str, RenewalOrder]) -> list[str]:
    """Write them down, all or none; names of hosts whose order is new."""
    before = RenewalOrder.load_all(journal)
    new = [name for name in orders if name not in before]
    with journal.transaction():
        for name in new:
            orders[name].save(journal, name)
            journal.append(Event("bmk", "host.renewal", "all of its certificates are to be renewed", name))
    return new


def withdraw_renewal(journal: Journal, names: Sequence[str]) -> None:
    """Take orders back of which nothing was begun."""
    with journal.transaction():
        for name in names:
            RenewalOrder.drop(journal, name)
            journal.append(Event("bmk", "host.renewal", "its certificates are not to be renewed after all", name))


def settle(journal: Journal, seen: Projection, hosts: Sequence[str]) -> None:
    """Hosts that failed here or were interrupted, and of which nothing is left to be renewed: that is over."""
    for name in hosts:
        at = seen.status(name)
        if at.phase in RENEWING and at.state in ("failed", "interrupted"):
            text = "its certificates are renewed and in use"
            journal.append(Event("bmk", "phase.finished", text, name, CertificatesRenewed.name))
