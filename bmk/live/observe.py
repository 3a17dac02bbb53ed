"""Looks at the world before planning: journal records, and cheap live probes side by side. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from bmk.boot import grants
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift.baseline import signed_at
from bmk.drift.history import outstanding
from bmk.drift.model import Finding
from bmk.engine.services import Services
from bmk.errors import ODD, BmkError
from bmk.journal import Journal
from bmk.journal.installation import AGAIN
from bmk.plan import Actual, OpenGrant
from bmk.plan.actual import Converged, Drifted, NodeState, Policies, PowerState, SshState

_RECORDS = (
    *("identity", "inspection", "installed", "joined", "ready", "converged", "suspect", "drift_repair", "host_keys"),
    AGAIN,
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Live answers about one host."""

    ssh: SshState
    power: PowerState
    trouble: tuple[str, ...]


def observe(
    dc: DataCenter, journal: Journal, services: Services, hosts: Iterable[str], threads: int = 32
) -> dict[str, Actual]:
    """What is known of these hosts now. Blocks; a probe that fails is `unknown` and a line of `trouble`, no error.

    Machines go on while one looks. Grants are read before the records, so that an installation which ends in between
    is seen as under way or as done, never as missing.
    """
    wanted = [dc.hosts[name] for name in hosts]
    granted = {h.name: _grant(journal, h.name) for h in wanted}
    records = {key: journal.records(key) for key in _RECORDS}
    with ThreadPoolExecutor(threads, thread_name_prefix="observe") as pool:
        clusters = {h.cluster for h in wanted if h.cluster}
        policies_asked = {name: pool.submit(_policies, services, name) for name in clusters}
        asked = {name: pool.submit(_nodes, services, name) for name in clusters}
        seen = list(pool.map(lambda h: _look(services, h, h.name in records["host_keys"]), wanted))
        nodes = {name: future.result() for name, future in asked.items()}
        mute = _mute(services, wanted, nodes)
        policies = {name: future.result() for name, future in policies_asked.items()}
        drift, signed = outstanding(journal), signed_at(journal)
    actuals = {
        h.name: _actual(h, s, records, nodes, granted[h.name], services) for h, s in zip(wanted, seen, strict=True)
    }
    completed = {
        h.name: replace(actuals[h.name], policies=policies.get(h.cluster or "", "unknown"), serving=h.name not in mute)
        for h in wanted
    }
    compared = {h.name: _compared(dc, h, completed[h.name], drift, signed, records) for h in wanted}
    return {name: _anew(actual) if name in records[AGAIN] else actual for name, actual in compared.items()}


def _anew(actual: Actual) -> Actual:
    """What counts of a host that is to be installed again: nothing that is on its disk or was found there."""
    kept = ("identity", "inspection", "grant", "power", "policies", "trouble")
    return Actual(again=True, **{name: getattr(actual, name) for name in kept})


def _look(services: Services, host: Host, keys: bool) -> _Seen:
    """ssh first: a machine that answers is on, and its BMC need not be asked."""
    ssh: SshState = services.ssh(host) if keys else "unknown"
    if ssh == "ok":
        return _Seen(ssh, "on", ())
    try:
        return _Seen(ssh, services.power(host), ())
    except BmkError as error:
        return _Seen(ssh, "unknown", (f"BMC {host.bmc_address}: {error.what}",))


def _nodes(services: Services, cluster: str) -> Mapping[str, NodeState] | None:
    """Nodes of a cluster; None when its API does not answer (or never was)."""
    try:
        return services.cluster(cluster).nodes()
    except (BmkError, *ODD):
        return None


def _mute(services: Services, hosts: Iterable[Host], nodes: Mapping[str, Mapping[str, NodeState] | None]) -> set[str]:
    """Hosts whose node is Ready and whose kubelet shows no certificate of the cluster."""
    ready: dict[str, list[Host]] = {}
    for host in hosts:
        if _node(host, nodes) == "ready":
            ready.setdefault(host.cluster or "", []).append(host)
    found: set[str] = set()
    for cluster, members in ready.items():
        try:
            found |= {h.name for h in members} - services.cluster(cluster).serving(members)
        except BmkError:  # an API that went away meanwhile: nothing is known, so nothing is planned
            continue
    return found


def _policies(services: Services, cluster: str) -> Policies:
    try:
        return services.cluster(cluster).policies()
    except (BmkError, *ODD):
        return "unknown"


def _actual(  # noqa: PLR0913, PLR0917 - it brings everything together
    host: Host,
    seen: _Seen,
    records: Mapping[str, Mapping[str, Any]],
    nodes: Mapping[str, Mapping[str, NodeState] | None],
    grant: OpenGrant | None,
    services: Services,
) -> Actual:
    fact = {key: values.get(host.name) for key, values in records.items()}
    return Actual(
        identity=fact["identity"],
        inspection=fact["inspection"],
        # A pinned host key is proof enough that bmk put its image there: nobody else could have reported it.
        installed=fact["installed"] or ({"pinned": True} if fact["host_keys"] else None),
        joined=fact["joined"],
        ready=fact["ready"],
        grant=grant,
        power=seen.power,
        ssh=seen.ssh,
        node=_node(host, nodes),
        converged=_converged(services, host, fact["converged"]),
        suspect=tuple((fact["suspect"] or {}).get("what", ())),
        trouble=seen.trouble,
    )


def _compared(  # noqa: PLR0913, PLR0917 - it brings everything together
    dc: DataCenter,
    host: Host,
    actual: Actual,
    drift: Mapping[str, list[Finding]],
    signed: Mapping[str, float],
    records: Mapping[str, Mapping[str, Any]],
) -> Actual:
    """With what drift found on it since it was repaired, and whether the last converge is sealed."""
    at = {key: (records[key].get(host.name) or {}).get("at", 0.0) for key in ("converged", "joined", "drift_repair")}
    since: Mapping[str, float] = {"converge": at["converged"], "api": at["drift_repair"], "bmc": at["drift_repair"]}
    found = [*drift.get(host.name, ()), *(drift.get(host.cluster or "", ()) if _speaks(dc, host) else ())]
    pending = tuple(
        Drifted(f.difference.text, f.repair, f.difference.kind, f.difference.id, f.difference.field, f.difference.want)
        for f in found
        if f.repair and not f.expected and f.last > since[f.repair]
    )
    return replace(actual, drift=pending, baseline=signed.get(host.name, 0.0) >= max(at["converged"], at["joined"]) > 0)


def _speaks(dc: DataCenter, host: Host) -> bool:
    """What is wrong in a whole cluster is put right once, and shown with its first control plane."""
    return host.cluster is not None and dc.members(host.cluster)[0].name == host.name


def _node(host: Host, nodes: Mapping[str, Mapping[str, NodeState] | None]) -> NodeState:
    states = nodes.get(host.cluster or "")
    return "unknown" if states is None else states.get(host.name, "absent")


def _grant(journal: Journal, host: str) -> OpenGrant | None:
    grant = grants.current(journal, host, time.time())
    return None if grant is None else OpenGrant(grant.id, grant.attempt, grant.claimed is not None)


def _converged(services: Services, host: Host, record: Mapping[str, Any] | None) -> Converged:
    if record is None:
        return "never"
    return "current" if record.get("digest") == services.wanted(host) else "stale"
