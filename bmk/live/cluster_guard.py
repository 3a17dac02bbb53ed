"""Which clusters cannot be changed as the file says. Asks the API of one only when the journal does not know it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from bmk.datacenter.resolve import DataCenter, Host
from bmk.datacenter.source import read_source
from bmk.engine.services import Services
from bmk.errors import ODD, BmkError, PreflightRefused
from bmk.journal import Journal
from bmk.journal.records import MembershipRecord, ReinstallOrder, UpgradeRecord
from bmk.plan.guards import RECORD, VERSION, Refusal, existing, refusals


def refused(
    dc: DataCenter, journal: Journal, services: Services, hosts: Iterable[Host], brings: Collection[str] = ()
) -> list[Refusal]:
    """What the file says of the clusters of these hosts that a running cluster cannot become.

    Of a cluster that an older bmk made the record is taken from its API, once; while it does not answer, nothing is
    known and nothing refused. `brings`: fields that the action changes. A cluster whose upgrade is under way is left
    alone by all others, whatever the file says meanwhile: its nodes have different versions.
    """
    there = existing(MembershipRecord.load_all(journal), ReinstallOrder.load_all(journal).keys())
    known, found = journal.records(RECORD), list[Refusal]()
    for name in sorted({h.cluster for h in hosts if h.cluster} & there):
        if name not in known and (record := _asked(services, name)):
            journal.record(name, RECORD, record)
            known[name] = record
        found += [*refusals(dc, name, known.get(name, {})), *_upgrading(dc, journal, name)]
    unique = {(one.cluster, one.field): one for one in found if one.field not in brings}
    return list(unique.values())


def _upgrading(dc: DataCenter, journal: Journal, cluster: str) -> Iterator[Refusal]:
    under_way = UpgradeRecord.load(journal, cluster)
    if under_way is not None:
        why = f"its upgrade to {under_way.target} is under way, and its nodes have different versions"
        yield Refusal(cluster, VERSION, "of two kinds", dc.cluster(cluster).kubernetes.version, why)


def _asked(services: Services, cluster: str) -> dict[str, str]:
    try:
        return dict(services.cluster(cluster).made_with())
    except (BmkError, *ODD):
        return {}


def refusal(dc: DataCenter, found: Sequence[Refusal]) -> PreflightRefused:
    """All of them as one error, with the places in the file."""
    source = read_source(dc.source)
    places = [f"{source.locate(one.loc)[0]}: {one}" for one in found]
    upgrades = list(dict.fromkeys(one.cluster for one in found if one.field == VERSION))
    back = "; ".join(f"{one.field} of {one.cluster}: {one.made_with}" for one in found if one.field != VERSION)
    names = ", ".join(dict.fromkeys(one.cluster for one in found))
    hints = [f"put back in dc.yml: {back}; then: bmk plan {dc.name}"] if back else []
    hints += [f"bmk upgrade {dc.name} {' '.join(upgrades)} --plan"] if upgrades else []
    return PreflightRefused(
        f"a cluster that exists cannot be changed like this, its hosts are left alone: {names}",
        where=str(dc.source),
        why="\n".join(places),
        hint="; ".join(hints),
    )
