"""Asks nodes and APIs for the evidence of hardening: one ssh round trip a node, one connection a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from bmk.cluster import anonymous
from bmk.datacenter.hosts import unproven
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import BmkError
from bmk.hardening.assess import (
    ControlResult,
    HardeningReport,
    NoEvidence,
    assess_cluster,
    assess_node,
    assess_silent,
    repairable,
    summaries,
)
from bmk.hardening.controls import SYSCTLS
from bmk.hardening.evidence import ClusterEvidence, NodeEvidence, node_evidence, node_program
from bmk.hardening.exceptions import Exemption, exceptions
from bmk.journal import Journal
from bmk.journal.records import SuspectRecord
from bmk.live.cluster import PROOF
from bmk.live.services import LiveServices
from bmk.ssh import run as ssh_run

THREADS = 32
_PYTHON = ["python3", "-I", "-B", "-"]


def assess_hardening(dc: DataCenter, services: LiveServices, hosts: Sequence[Host]) -> HardeningReport:
    """A report on these hosts and on the clusters they are in. Who does not answer is in it, as unknown."""
    began = time.monotonic()
    members = [host for host in hosts if host.cluster is not None]
    clusters = sorted({host.cluster for host in members if host.cluster})
    with ThreadPoolExecutor(THREADS, thread_name_prefix="inspect") as pool:
        asked = [pool.submit(_cluster, dc, services, name) for name in clusters]
        seen = list(pool.map(lambda host: node_evidence_of(services, host), members))
        apis = [one.result() for one in asked]
    results, found, silent = _judged(dc, [*seen, *apis])
    found += [Exemption("unproven", "", one.profile, str(one)) for one in unproven(hosts)]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return HardeningReport(dc.name, at, tuple(results), tuple(found), tuple(silent), time.monotonic() - began)


def remember(dc: DataCenter, journal: Journal, report: HardeningReport) -> None:
    """Leave word for the next plan: a host with failing controls is configured again, a good one is forgotten.

    And for the page: how each host and cluster stands.
    """
    for where, summary in summaries(report).items():
        journal.record(where, "hardening", summary)
    members = {name: [h.name for h in dc.members(name, "control_plane")] for name in dc.spec.clusters}
    for host, ids in repairable([r for r in report.results if r.state != "unknown"], members).items():
        if ids:
            SuspectRecord(by="hardening", what=tuple(ids), at=time.time()).save(journal, host)
        else:
            SuspectRecord.drop(journal, host)


def node_evidence_of(services: LiveServices, host: Host) -> NodeEvidence | NoEvidence:
    """The evidence of one node, by one round trip."""
    try:
        answer = ssh_run(services.target(host), _PYTHON, send=node_program(SYSCTLS).encode(), timeout=120)
    except BmkError as error:
        return NoEvidence(host.name, host.role, ": ".join(filter(None, (error.what, error.why))))
    node = node_evidence(host.name, host.role, answer.out)
    return node or NoEvidence(
        host.name, host.role, f"its answer cannot be read: {answer.err.strip()[-200:] or 'nothing'}"
    )


def _cluster(dc: DataCenter, services: LiveServices, name: str) -> ClusterEvidence | NoEvidence:
    try:
        return _evidence(dc, services, name)
    except BmkError as error:
        return NoEvidence(name, "cluster", ": ".join(filter(None, (error.what, error.why))))


def _evidence(dc: DataCenter, services: LiveServices, name: str) -> ClusterEvidence:
    cluster = dc.cluster(name)
    settings = {**cluster.hardening.model_dump(mode="json"), "network": cluster.network.model_dump(mode="json")}
    proof = services.journal.facts(name).get(PROOF) or {}
    seen = services.cluster(name).evidence()
    members = dc.members(name, "control_plane")
    answers = anonymous.ask([f"{host.address}:6443" for host in members])
    return ClusterEvidence(name=name, settings=settings, proof=proof, anonymous=answers, now=time.time(), **seen)


def _judged(
    dc: DataCenter, seen: Sequence[NodeEvidence | ClusterEvidence | NoEvidence]
) -> tuple[list[ControlResult], list[Exemption], list[NoEvidence]]:
    results: list[ControlResult] = []
    found: list[Exemption] = []
    for one in seen:
        results += _results(one, dc)
        found += exceptions(one) if isinstance(one, ClusterEvidence) else []
    return results, found, [one for one in seen if isinstance(one, NoEvidence)]


def _results(seen: NodeEvidence | ClusterEvidence | NoEvidence, dc: DataCenter) -> Iterator[ControlResult]:
    waivers = dc.spec.waivers
    if isinstance(seen, NodeEvidence):
        return assess_node(seen, waivers)
    return assess_cluster(seen, waivers) if isinstance(seen, ClusterEvidence) else assess_silent(seen, waivers)
