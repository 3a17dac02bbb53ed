"""Observes before planning: journal records, and cheap live probes side by side. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from bmk.boot import grants
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift.baseline import signed_at
from bmk.drift.history import outstanding
from bmk.drift.model import Finding
from bmk.engine.services import Services
from bmk.errors import ODD, BmkError
from bmk.journal import Journal
from bmk.journal.left_alone import LeftAlone, left_alone
from bmk.journal.records import (
    ConvergeRecord,
    DrainRecord,
    DriftRepairRecord,
    InstallationRecord,
    MaintenanceRecord,
    MembershipRecord,
    ProofRecord,
    ReinstallOrder,
    ReinstallProgress,
    RemovalRecord,
    ResetOrder,
    RetiredRecord,
    SuspectRecord,
)
from bmk.plan import Actual, OpenGrant
from bmk.plan.actual import ClusterActual, Converged, Drifted, NodeState, Observation, PowerState, SshState
from bmk.plan.disks import inspection_of
from bmk.plan.wipe import replaced

T = TypeVar("T")


class _Records:
    """Records of the journal, read once, of all hosts: members of a cluster that are not observed count, too."""

    def __init__(self, journal: Journal, dc: str, hosts: Sequence[str]) -> None:
        # Grants first: an installation that ends in between is seen as under way or as done, never as missing.
        self.grants = {name: _grant(journal, name) for name in hosts}
        self.identity, self.inspection = journal.records("identity"), journal.records("inspection")
        self.host_keys = journal.records("host_keys")
        self.installed = InstallationRecord.load_all(journal)
        self.joined = MembershipRecord.load_all(journal)
        self.ready = ProofRecord.load_all(journal)
        self.converged = ConvergeRecord.load_all(journal)
        self.suspect = SuspectRecord.load_all(journal)
        self.repaired = DriftRepairRecord.load_all(journal)
        self.maintenance, self.retired = MaintenanceRecord.load_all(journal), RetiredRecord.load_all(journal)
        self.reset, self.alone = ResetOrder.load_all(journal), left_alone(journal, dc)
        self.ordered, self.removed = ReinstallOrder.load_all(journal), RemovalRecord.load_all(journal)
        self.drained, self.reinstalling = DrainRecord.load_all(journal), ReinstallProgress.load_all(journal)

    def installation(self, host: Host) -> InstallationRecord | None:
        """A pinned host key is proof enough that bmk put its image there: nobody else could have reported it."""
        known = self.installed.get(host.name) or (InstallationRecord() if host.name in self.host_keys else None)
        if known is not None and known.serial is None:  # written by an earlier version: the machine that was registered
            return known.model_copy(update={"serial": (self.identity.get(host.name) or {}).get("serial")})
        return known

    def away(self, name: str) -> bool:
        """A run before began to take it out of its cluster, or installed it anew, and it is not back."""
        known = self.reinstalling.get(name)
        comes_back = known is not None and not known.done and name not in self.ordered
        return comes_back or name in self.drained or name in self.removed

    def left_alone(self, host: Host) -> LeftAlone | None:
        """A host that is new in the file of a cluster that is being reset would join the old one."""
        ending = (self.alone[name] for name, order in self.reset.items() if order.cluster == host.cluster)
        return self.alone.get(host.name) or next(ending, None)

    def remaining(self, dc: DataCenter, cluster: str | None) -> tuple[str, ...]:
        """Control planes that are members of the cluster and stay as they are, by what is on record."""
        members = dc.members(cluster, "control_plane") if cluster else ()
        return tuple(h.name for h in members if self._stays(h))

    def _stays(self, host: Host) -> bool:
        joined, installed = self.joined.get(host.name), self.installation(host)
        if joined is None or joined.cluster != host.cluster or installed is None or host.name in self.ordered:
            return False
        return not replaced(host, installed)


@dataclass(frozen=True, slots=True)
class _Probes:
    """Live answers about one host."""

    ssh: SshState
    power: PowerState
    trouble: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _ClusterProbes:
    """Live answers of a cluster's API. `nodes` None: no answer; `silent`: Ready, and no serving certificate."""

    nodes: Mapping[str, NodeState] | None
    silent: frozenset[str]
    actual: ClusterActual


def observe(
    dc: DataCenter, journal: Journal, services: Services, hosts: Iterable[str], threads: int = 32
) -> Observation:
    """What is known of these hosts and their clusters now.

    Blocks. A probe that fails is `unknown` and a line of `trouble`, never an error.
    """
    wanted = [dc.hosts[name] for name in hosts]
    records = _Records(journal, dc.name, [h.name for h in wanted])
    members: dict[str, list[Host]] = {}
    for host in wanted:
        if host.cluster:
            members.setdefault(host.cluster, []).append(host)
    with ThreadPoolExecutor(threads, thread_name_prefix="observe") as pool:
        asked = {name: pool.submit(_cluster, services, name, found) for name, found in members.items()}
        seen = list(pool.map(lambda h: _probe(services, h, h.name in records.host_keys), wanted))
        clusters = {name: future.result() for name, future in asked.items()}
    merged = _Merged(dc, services, records, clusters, outstanding(journal), signed_at(journal))
    actuals = {host.name: merged.actual(host, probes) for host, probes in zip(wanted, seen, strict=True)}
    return Observation(actuals, {name: found.actual for name, found in clusters.items()})


def _probe(services: Services, host: Host, keys: bool) -> _Probes:
    """ssh first: a machine that answers is on, and its BMC need not be asked."""
    ssh: SshState = services.ssh(host) if keys else "unknown"
    if ssh == "ok":
        return _Probes(ssh, "on", ())
    try:
        return _Probes(ssh, services.power(host), ())
    except BmkError as error:
        return _Probes(ssh, "unknown", (f"BMC {host.bmc_address}: {error.what}",))


def _cluster(services: Services, name: str, members: Sequence[Host]) -> _ClusterProbes:
    """An API that does not answer, or answers what cannot be understood, leaves `unknown`."""
    cluster = services.cluster(name)
    nodes: Mapping[str, NodeState] | None = _or(cluster.nodes, None)
    ready = [h for h in members if nodes is not None and nodes.get(h.name) == "ready"]
    serving = _or(lambda: cluster.serving(ready), None) if ready else None
    silent = {h.name for h in ready} - serving if serving is not None else set[str]()
    return _ClusterProbes(nodes, frozenset(silent), ClusterActual(_or(cluster.policies, "unknown")))


def _or(ask: Callable[[], T], otherwise: Any) -> T:
    try:
        return ask()
    except (BmkError, *ODD):
        found: T = otherwise
        return found


@dataclass(frozen=True, slots=True)
class _Merged:
    """Records and probes brought together. `drift` by host or cluster; `signed`: when the baseline of a host was."""

    dc: DataCenter
    services: Services
    records: _Records
    clusters: Mapping[str, _ClusterProbes]
    drift: Mapping[str, list[Finding]]
    signed: Mapping[str, float]

    def actual(self, host: Host, probes: _Probes) -> Actual:
        name, records = host.name, self.records
        joined, suspect = records.joined.get(name), records.suspect.get(name)
        cluster, converged = self.clusters.get(host.cluster or ""), records.converged.get(name)
        changed = max(converged.at if converged else 0.0, joined.at if joined else 0.0)
        return Actual(
            identity=records.identity.get(name),
            inspection=inspection_of(host, records.inspection.get(name)),
            installed=records.installation(host),
            joined=joined,
            ready=records.ready.get(name),
            grant=records.grants[name],
            power=probes.power,
            ssh=probes.ssh,
            node="unknown" if cluster is None or cluster.nodes is None else cluster.nodes.get(name, "absent"),
            serving=cluster is None or name not in cluster.silent,
            converged=self._converged(host, converged),
            suspect=suspect.what if suspect else (),
            drift=self._drift(host, converged),
            baseline=self.signed.get(name, 0.0) >= changed > 0,
            again=name in records.ordered,
            removed=name in records.removed,
            away=records.away(name),
            remaining=records.remaining(self.dc, host.cluster),
            alone=records.left_alone(host),
            maintenance=records.maintenance.get(name),
            retired=records.retired.get(name),
            reset=records.reset.get(name),
            trouble=probes.trouble,
        )

    def _converged(self, host: Host, record: ConvergeRecord | None) -> Converged:
        if record is None:
            return "never"
        return "current" if record.digest == self.services.wanted(host) else "stale"

    def _drift(self, host: Host, converged: ConvergeRecord | None) -> tuple[Drifted, ...]:
        """What drift has found since it was repaired.

        Findings of a whole cluster come with its first control plane, of those that are not left alone.
        """
        found = list(self.drift.get(host.name, ()))
        there = (h.name for h in self.dc.members(host.cluster or "") if h.name not in self.records.alone)
        if host.cluster is not None and next(there, None) == host.name:
            found += self.drift.get(host.cluster, ())
        repaired = self.records.repaired.get(host.name)
        other = repaired.at if repaired else 0.0
        since: Mapping[str, float] = {"converge": converged.at if converged else 0.0, "api": other, "bmc": other}
        return tuple(
            Drifted(d.text, f.repair, d.kind, d.id, d.field, d.want)
            for f in found
            if f.repair and not f.expected and f.last > since[f.repair]
            for d in (f.difference,)
        )


def _grant(journal: Journal, host: str) -> OpenGrant | None:
    grant = grants.current(journal, host, time.time())
    return None if grant is None else OpenGrant(grant.id, grant.attempt, grant.claimed is not None)
