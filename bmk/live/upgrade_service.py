"""What `bmk upgrade` sees of a cluster before it decides, and what its run has to know of each host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bmk.artifacts.lock import load_lock
from bmk.artifacts.mirror import release_of
from bmk.datacenter.resolve import DataCenter, Host
from bmk.datacenter.source import lock_path
from bmk.drift.history import outstanding
from bmk.engine.services import Services
from bmk.errors import BmkError, PreflightRefused
from bmk.journal import Journal
from bmk.journal.records import BackupRecord, EvacuationRecord, UpgradeRecord
from bmk.plan.actual import ClusterActual, Observation
from bmk.plan.guards import RECORD, VERSION
from bmk.upgrade.decide import UpgradePlan
from bmk.upgrade.model import UpgradeEvidence, UpgradeMember
from bmk.upgrade.record import standing

_AT_ONCE = 16


def see(dc: DataCenter, journal: Journal, services: Services, name: str, known: Sequence[str]) -> UpgradeEvidence:
    """Look at one cluster. `known`: versions that can be installed. Raises Unreachable when its API does not answer."""
    cluster, now = services.cluster(name), time.time()
    versions = cluster.versions()
    workloads, blind = cluster.workloads()
    hosts, begun = dc.members(name), EvacuationRecord.load_all(journal)
    members = tuple(
        UpgradeMember(h.name, h.role, versions[h.name], h.name in begun) for h in hosts if h.name in versions
    )
    try:
        etcd = dict(cluster.etcd())
    except BmkError:
        etcd = {}
    newest = (BackupRecord.load(journal, name) or BackupRecord()).newest
    return UpgradeEvidence(
        cluster=name,
        have=str((journal.records(RECORD).get(name) or {}).get(VERSION, "")),
        wanted=dc.cluster(name).kubernetes.version,
        members=members,
        known=tuple(known),
        workloads=workloads,
        etcd=etcd,
        drift=tuple(_drift(journal, {name, *(h.name for h in hosts if h.name not in begun)})),
        certificates=_certificates(services, [h for h in hosts if h.role == "control_plane" and h.name in versions]),
        backups=bool(dc.cluster(name).backup or dc.spec.backup),
        backup_age=None if newest is None else now - newest.at,
        blind=tuple(blind),
        standing=standing(journal, name),
    )


def _drift(journal: Journal, names: set[str]) -> Iterator[str]:
    """What the last look found and nobody expects; what does no harm does none to an upgrade."""
    for where, findings in sorted(outstanding(journal).items()):
        for found in findings if where in names else ():
            if not found.expected and found.severity != "benign":
                yield f"{where}: {found.difference.text}"


def _certificates(services: Services, planes: Sequence[Host]) -> tuple[str, ...]:
    """Of control planes, that are due or not used as they are."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="certificates") as pool:
        found = [s for known in pool.map(services.certificates, planes) for s in known.standings if s.wrong]
    return tuple(f"{s.kind.name} of {s.where}: {s.text}" for s in found)


def upgrade_look(journal: Journal, found: Iterable[UpgradePlan]) -> Callable[[Observation], Observation]:
    """Adds to an observation what a run of these plans does to each host and cluster."""
    plans = {one.cluster: one for one in found}

    def look(seen: Observation) -> Observation:
        hosts = {name: upgrade for plan in plans.values() for name, upgrade in plan.hosts.items()}
        actuals = dict(seen.hosts)
        for name, upgrade in hosts.items():
            if name in actuals:
                actuals[name] = replace(actuals[name], upgrade=upgrade, away=upgrade.begun)
        clusters = {name: _cluster(journal, plan, seen) for name, plan in plans.items()}
        return Observation(actuals, {**seen.clusters, **clusters})

    return look


def _cluster(journal: Journal, plan: UpgradePlan, seen: Observation) -> ClusterActual:
    """Where the file says nothing of backups there is none, as somebody accepted; what only has to end needs none."""
    known = UpgradeRecord.load(journal, plan.cluster)
    unsaved = plan.saves and not (known and known.backup) and any(h.pending for h in plan.hosts.values())
    return replace(seen.clusters.get(plan.cluster, ClusterActual()), upgrade=plan.target, unsaved=unsaved)


def installable(dc: DataCenter) -> tuple[str, ...]:
    """Versions of Kubernetes that the data center's lock has."""
    return load_lock(lock_path(dc.source, dc.spec.artifacts)).kubernetes


def require_version(target: str) -> None:
    """Raises PreflightRefused when the mirror has not this version of Kubernetes."""
    mirror = release_of(target)
    found = mirror.files.get("kubelet")
    if found is None or found.version != f"v{target}":
        has = found.version if found is not None else "none"
        hint = f"bmk artifacts build --kubernetes {target}"
        raise PreflightRefused(
            f"the mirror has no Kubernetes {target}", where=str(mirror.root), why=f"its kubelet: {has}", hint=hint
        )
