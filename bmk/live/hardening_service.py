"""Asks nodes and APIs for the evidence of hardening: one ssh login a node, one connection a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from bmk.cluster import anonymous
from bmk.datacenter.hosts import unproven
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift.collector import CollectLimits, CollectRequest, Keys, collect
from bmk.errors import ODD, BmkError
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
from bmk.hardening.evidence import ClusterEvidence, NodeEvidence, node_script
from bmk.hardening.exceptions import Exemption, exceptions
from bmk.journal import Journal
from bmk.journal.records import SuspectRecord
from bmk.live.cluster import PROOF
from bmk.live.known_hosts import write_known_hosts
from bmk.live.services import LiveServices
from bmk.ssh import deployer_key

_CLUSTERS = 32  # asked at once


def assess_hardening(dc: DataCenter, services: LiveServices, hosts: Sequence[Host]) -> HardeningReport:
    """A report on these hosts and their clusters. The controls of one that does not answer are unknown."""
    began = time.monotonic()
    members = [host for host in hosts if host.cluster is not None]
    clusters = sorted({host.cluster for host in members if host.cluster})
    with ThreadPoolExecutor(_CLUSTERS, thread_name_prefix="clusters") as pool:
        asked = [pool.submit(_cluster, dc, services, name) for name in clusters]
        seen = asyncio.run(node_evidence(dc, services.journal, members))
        apis = [one.result() for one in asked]
    all_seen = [*seen, *(evidence for evidence, _ in apis)]
    results = [result for one in all_seen for result in _results(one, dc)]
    found = [one for _, exempt in apis for one in exempt]
    found += [Exemption("unproven", "", one.profile, str(one)) for one in unproven(hosts)]
    silent = [one for one in all_seen if isinstance(one, NoEvidence)]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return HardeningReport(dc.name, at, tuple(results), tuple(found), tuple(silent), time.monotonic() - began)


def remember(dc: DataCenter, journal: Journal, report: HardeningReport) -> None:
    """Record the result of each host and cluster for the site report, and which hosts the next plan converges again.

    A host with failing controls is suspect; one without is no longer.
    """
    for where, summary in summaries(report).items():
        journal.record(where, "hardening", summary)
    members = {name: [h.name for h in dc.members(name, "control_plane")] for name in dc.spec.clusters}
    for host, ids in repairable([r for r in report.results if r.state != "unknown"], members).items():
        if ids:
            SuspectRecord(by="hardening", what=tuple(ids), at=time.time()).save(journal, host)
        else:
            SuspectRecord.drop(journal, host)


async def node_evidence(
    dc: DataCenter, journal: Journal, hosts: Sequence[Host], limits: CollectLimits | None = None
) -> list[NodeEvidence | NoEvidence]:
    """The evidence of these nodes, in their order."""
    asked, script = {host.name: host for host in hosts}, node_script(SYSCTLS)
    requests = {name: CollectRequest(str(host.address), script) for name, host in asked.items()}
    keys = Keys(deployer_key(dc.state), write_known_hosts(dc, journal))
    seen: dict[str, NodeEvidence | NoEvidence] = {}
    async for answer in collect(requests, keys, limits, "evidence"):
        name, role = answer.host, asked[answer.host].role
        why = "; ".join(trouble.text for trouble in answer.troubles)
        seen[name] = NoEvidence(name, role, why) if why else NodeEvidence(name, role, answer.facts)
    return [seen[host.name] for host in hosts]


def _cluster(
    dc: DataCenter, services: LiveServices, name: str
) -> tuple[ClusterEvidence | NoEvidence, Sequence[Exemption]]:
    """The evidence of one cluster and its exceptions. Objects that cannot be read are no evidence at all."""
    try:
        seen = _evidence(dc, services, name)
        return seen, exceptions(seen)
    except BmkError as error:
        why = ": ".join(filter(None, (error.what, error.why)))
    except ODD as error:
        why = f"an answer of its API cannot be understood: {type(error).__name__}: {error}"[:200]
    return NoEvidence(name, "cluster", why), ()


def _evidence(dc: DataCenter, services: LiveServices, name: str) -> ClusterEvidence:
    cluster = dc.cluster(name)
    settings = {**cluster.hardening.model_dump(mode="json"), "network": cluster.network.model_dump(mode="json")}
    proof = services.journal.facts(name).get(PROOF) or {}
    seen = services.cluster(name).evidence()
    members = dc.members(name, "control_plane")
    answers = anonymous.ask([f"{host.address}:6443" for host in members])
    return ClusterEvidence(name=name, settings=settings, proof=proof, anonymous=answers, now=time.time(), **seen)


def _results(seen: NodeEvidence | ClusterEvidence | NoEvidence, dc: DataCenter) -> Iterator[ControlResult]:
    waivers = dc.spec.waivers
    if isinstance(seen, NodeEvidence):
        return assess_node(seen, waivers)
    return assess_cluster(seen, waivers) if isinstance(seen, ClusterEvidence) else assess_silent(seen, waivers)
