"""Asks nodes and APIs for the evidence of hardening: one ssh round trip a node, one connection a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from bmk.cluster import anonymous
from bmk.datacenter.attestation import unproven
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import BmkError
from bmk.hardening.assess import Report, Result, Silent, judge_cluster, judge_node, judge_silent, repairable, summaries
from bmk.hardening.controls import SYSCTLS
from bmk.hardening.evidence import Cluster, Node, node_evidence, node_program
from bmk.hardening.exceptions import Finding, exceptions
from bmk.journal import Journal
from bmk.live.cluster import PROOF
from bmk.live.services import World
from bmk.ssh import run as ssh_run

THREADS = 32
_PYTHON = ["python3", "-I", "-B", "-"]


def inspect(dc: DataCenter, world: World, hosts: Sequence[Host]) -> Report:
    """A report on these hosts and on the clusters they are in. Who does not answer is in it, as unknown."""
    began = time.monotonic()
    members = [host for host in hosts if host.cluster is not None]
    clusters = sorted({host.cluster for host in members if host.cluster})
    with ThreadPoolExecutor(THREADS, thread_name_prefix="inspect") as pool:
        asked = [pool.submit(_cluster, dc, world, name) for name in clusters]
        seen = list(pool.map(lambda host: look(world, host), members))
        apis = [one.result() for one in asked]
    results, found, silent = _judged(dc, [*seen, *apis])
    found += [Finding("unproven", "", one.profile, str(one)) for one in unproven(hosts)]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(dc.name, at, tuple(results), tuple(found), tuple(silent), time.monotonic() - began)


def remember(dc: DataCenter, journal: Journal, report: Report) -> None:
    """Leave word for the next plan: a host with failing controls is configured again, a good one is forgotten.

    And for the page: how each host and cluster stands.
    """
    for where, summary in summaries(report).items():
        journal.record(where, "hardening", summary)
    members = {name: [h.name for h in dc.members(name, "control_plane")] for name in dc.spec.clusters}
    for host, ids in repairable([r for r in report.results if r.state != "unknown"], members).items():
        if ids:
            journal.record(host, "suspect", {"by": "hardening", "what": ids})
        else:
            journal.forget(host, "suspect")


def look(world: World, host: Host) -> Node | Silent:
    """The evidence of one node, by one round trip."""
    try:
        answer = ssh_run(world.target(host), _PYTHON, send=node_program(SYSCTLS).encode(), timeout=120)
    except BmkError as error:
        return Silent(host.name, host.role, ": ".join(filter(None, (error.what, error.why))))
    node = node_evidence(host.name, host.role, answer.out)
    return node or Silent(host.name, host.role, f"its answer cannot be read: {answer.err.strip()[-200:] or 'nothing'}")


def _cluster(dc: DataCenter, world: World, name: str) -> Cluster | Silent:
    try:
        return _evidence(dc, world, name)
    except BmkError as error:
        return Silent(name, "cluster", ": ".join(filter(None, (error.what, error.why))))


def _evidence(dc: DataCenter, world: World, name: str) -> Cluster:
    cluster = dc.cluster(name)
    settings = {**cluster.hardening.model_dump(mode="json"), "network": cluster.network.model_dump(mode="json")}
    proof = world.journal.facts(name).get(PROOF) or {}
    seen = world.cluster(name).evidence()
    members = dc.members(name, "control_plane")
    answers = anonymous.ask([f"{host.address}:6443" for host in members])
    return Cluster(name=name, settings=settings, proof=proof, anonymous=answers, now=time.time(), **seen)


def _judged(
    dc: DataCenter, seen: Sequence[Node | Cluster | Silent]
) -> tuple[list[Result], list[Finding], list[Silent]]:
    results: list[Result] = []
    found: list[Finding] = []
    for one in seen:
        results += _results(one, dc)
        found += exceptions(one) if isinstance(one, Cluster) else []
    return results, found, [one for one in seen if isinstance(one, Silent)]


def _results(seen: Node | Cluster | Silent, dc: DataCenter) -> Iterator[Result]:
    waivers = dc.spec.waivers
    if isinstance(seen, Node):
        return judge_node(seen, waivers)
    return judge_cluster(seen, waivers) if isinstance(seen, Cluster) else judge_silent(seen, waivers)
