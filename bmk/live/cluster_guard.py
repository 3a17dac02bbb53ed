"""Which clusters cannot be changed as the file says. Asks the API of one only when the journal does not know it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bmk.datacenter.resolve import DataCenter, Host
from bmk.datacenter.source import read_source
from bmk.engine.services import Services
from bmk.errors import ODD, BmkError, PreflightRefused
from bmk.journal import Journal
from bmk.journal.records import MembershipRecord, ReinstallOrder
from bmk.plan.guards import RECORD, Refusal, existing, refusals


def refused(dc: DataCenter, journal: Journal, services: Services, hosts: Iterable[Host]) -> list[Refusal]:
    """What the file says of the clusters of these hosts that a running cluster cannot become.

    Of a cluster that an older bmk made the record is taken from its API, once; while it does not answer, nothing is
    known and nothing refused.
    """
    there = existing(MembershipRecord.load_all(journal), ReinstallOrder.load_all(journal).keys())
    known, found = journal.records(RECORD), list[Refusal]()
    for name in sorted({h.cluster for h in hosts if h.cluster} & there):
        if name not in known and (record := _asked(services, name)):
            journal.record(name, RECORD, record)
            known[name] = record
        found += refusals(dc, name, known.get(name, {}))
    return found


def _asked(services: Services, cluster: str) -> dict[str, str]:
    try:
        return dict(services.cluster(cluster).made_with())
    except (BmkError, *ODD):
        return {}


def refusal(dc: DataCenter, found: Sequence[Refusal]) -> PreflightRefused:
    """All of them as one error, with the places in the file."""
    source = read_source(dc.source)
    places = [f"{source.locate(one.loc)[0]}: {one}" for one in found]
    back = "; ".join(f"{one.field} of {one.cluster}: {one.made_with}" for one in found)
    names = ", ".join(dict.fromkeys(one.cluster for one in found))
    return PreflightRefused(
        f"a cluster that exists cannot be changed like this, its hosts are left alone: {names}",
        where=str(dc.source),
        why="\n".join(places),
        hint=f"put back in dc.yml: {back}; then: bmk plan {dc.name}",
    )
