"""What `bmk certs renew` has to see besides what every action sees: certificates of control planes, and requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bmk.certificates.renewal import steps, urgent
from bmk.certificates.standing import HostCertificates
from bmk.datacenter.resolve import Host
from bmk.engine.services import Services
from bmk.errors import ODD, BmkError
from bmk.journal.records import RenewalOrder
from bmk.phases.certificates_renewed import names_left
from bmk.plan.actual import ClusterActual, Observation

_AT_ONCE = 16


def certificates_look(
    services: Services, hosts: Sequence[Host], orders: Mapping[str, RenewalOrder]
) -> Callable[[Observation], Observation]:
    """Adds to an observation what is to be renewed on these hosts, that are members, and in their clusters.

    `orders`: hosts on which all is to be renewed.
    """

    def look(seen: Observation) -> Observation:
        there = [h for h in hosts if seen.hosts[h.name].alone is None]
        members = [h for h in there if seen.hosts[h.name].is_member_of(h.cluster)]
        planes = [h for h in members if h.role == "control_plane"]
        clusters = list(dict.fromkeys(h.cluster for h in members if h.cluster is not None))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="certificates") as pool:
            found = dict(zip((h.name for h in planes), pool.map(services.certificates, planes), strict=True))
            asked = dict(zip(clusters, pool.map(lambda name: _cluster(services, seen, name), clusters), strict=True))
        actuals = dict(seen.hosts)
        for name, known in found.items():
            actual, left = seen.hosts[name], names_left(orders.get(name))
            trouble = (*actual.trouble, *_unknown(known))
            due, soon = steps(known.standings, left), urgent(known.standings, time.time())
            actuals[name] = replace(actual, renewal=due, urgent=soon, trouble=trouble)
        return Observation(actuals, {**seen.clusters, **asked})

    return look


def blind(before: Observation, after: Observation) -> list[str]:
    """Hosts of whose certificates some could not be looked at. Other probes that failed are no matter of these."""
    return [name for name, actual in after.hosts.items() if actual.trouble != before.hosts[name].trouble]


def _unknown(known: HostCertificates) -> tuple[str, ...]:
    """Of what kubeadm would renew: each reason once, with what it is about."""
    why: dict[str, list[str]] = {}
    for s in known.standings:
        if s.state == "unknown" and s.kind.renewal == "kubeadm":
            why.setdefault(s.text, []).append(s.kind.name)
    return tuple(f"{', '.join(names)}: {text}" for text, names in why.items())


def _cluster(services: Services, seen: Observation, name: str) -> ClusterActual:
    """An API that does not answer has no requests that anybody could see."""
    actual, standing = seen.clusters.get(name, ClusterActual()), services.kubeconfig_standing(name)
    try:
        answers = services.cluster(name).waiting()
    except (BmkError, *ODD):
        answers = ()
    hosts = tuple(sorted({answer.host for answer in answers if not answer.problem}))
    why = standing.text if standing is not None and standing.wrong else ""
    return replace(actual, kubeconfig=why, requests=hosts)
