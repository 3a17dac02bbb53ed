"""Drift of a data center as commands and phases ask for it: hosts by ssh, clusters by their API, BMCs by theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from bmk.artifacts.mirror import ImageArtifact, open_mirror, release_of
from bmk.cluster.api import Api, NodesApi
from bmk.datacenter.credentials import metrics_pair
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift import history
from bmk.drift.collector import CollectLimits, Keys
from bmk.drift.flat import flat
from bmk.drift.model import Answer, Desired, DriftStatus, Facts, Trouble
from bmk.drift.outside.cluster import binding_facts, desired_cluster, policy_facts, wanted_policies
from bmk.drift.outside.nodes import NAMESPACE, desired_images, desired_nodes, held, image_facts, node_facts, with_builds
from bmk.drift.scan import Asked, Outside, Scan, make_baselines, scan
from bmk.errors import BmkError
from bmk.journal import Event, Journal
from bmk.journal.installation import installations
from bmk.journal.left_alone import LeftAlone, left_alone
from bmk.journal.retention import prune
from bmk.live import bmc_facts
from bmk.live.known_hosts import write_known_hosts
from bmk.ssh import deployer_key

__all__ = ["Answer", "Asked", "DriftRequest", "find_drift", "sign_baselines"]

_PATIENCE = 60.0  # seconds for one answer of an API: many lists, of servers that may be busy
_IMAGES, _BUILDS = "images", 500  # record of the data center: names with digests, the newest last
_KUBELETS = 16  # at once, of one cluster: each answer goes through its API server


@dataclass(frozen=True, slots=True)
class DriftRequest:
    """What to look at and how. `bmc`: ask BMCs too, which takes seconds for each."""

    run: str
    bmc: bmc_facts.Connect | None = None
    limits: CollectLimits = field(default_factory=CollectLimits)
    tell: Callable[[DriftStatus], None] = lambda _: None


def find_drift(dc: DataCenter, journal: Journal, hosts: Sequence[Host], wish: DriftRequest) -> list[DriftStatus]:
    """Look at hosts and their clusters, remember what was found, and return it: hosts in the given order first.

    Those that a person wants to be left alone are not asked.
    """
    began, before, alone = time.time(), installations(journal), left_alone(journal, dc.name)
    asked = [h for h in hosts if h.name not in alone]
    on = replace(_on(dc, journal), limits=wish.limits, tell=wish.tell)
    found = asyncio.run(_look(on, asked, wish))
    found = [unless_reinstalled(dc.name, s, before, installations(journal)) for s in found]
    standings = history.remember(journal, wish.run, began, time.time(), found)
    journal.extend(_event(wish.run, s) for s in standings)
    prune(journal, dc.spec.retention_days, time.time())
    known = {s.name: s for s in standings} | {h.name: _unseen(h, alone[h.name]) for h in hosts if h.name in alone}
    return [*(known.pop(h.name) for h in hosts), *known.values()]


def _unseen(host: Host, why: LeftAlone) -> DriftStatus:
    """Nothing of it is remembered: it stands as it was seen last."""
    return DriftStatus(host.name, alone=str(why))


def unless_reinstalled(
    dc: str, standing: DriftStatus, before: Mapping[str, str], now: Mapping[str, str]
) -> DriftStatus:
    """Where it stands, unless that is about an installation that was replaced meanwhile."""
    if before.get(standing.name) == now.get(standing.name):
        return standing
    return DriftStatus(
        standing.name, troubles=(Trouble("reinstalled", "it was installed anew meanwhile", f"bmk drift {dc}"),)
    )


async def _look(on: Scan, hosts: Sequence[Host], wish: DriftRequest) -> list[DriftStatus]:
    """APIs and BMCs are asked first, all at once: hosts come as they answer, and each is told with all it has."""
    outside = await asyncio.to_thread(_outside, on, hosts, wish)
    return await scan(on, hosts, outside)


# A host that others join at the same time, without KVM, needs minutes to hash what it carries.
_WHILE_JOINING = CollectLimits(seconds=600)


def sign_baselines(dc: DataCenter, journal: Journal, asked: Sequence[Asked]) -> dict[str, BmkError | list[str]]:
    """Sign baselines of hosts that have just converged; see bmk/drift/baseline.py. The phase has its own deadline."""
    _remember_builds(dc, journal)
    return asyncio.run(make_baselines(replace(_on(dc, journal), limits=_WHILE_JOINING), asked))


def _remember_builds(dc: DataCenter, journal: Journal) -> None:
    """What the mirror holds while hosts converge: they run it, also when the mirror is built anew."""
    before = _builds(dc, journal)
    news = [name for name in held(_images()) if name not in before]
    if news:
        journal.record(dc.name, _IMAGES, [*before, *news][-_BUILDS:])


def _images() -> list[ImageArtifact]:
    """Of every version of Kubernetes that the mirror has."""
    base = open_mirror()
    return [image for one in (base, *base.releases()) for image in one.images.values()]


def _builds(dc: DataCenter, journal: Journal) -> list[str]:
    return list(journal.facts(dc.name).get(_IMAGES) or ())


def _on(dc: DataCenter, journal: Journal) -> Scan:
    return Scan(dc, journal, Keys(deployer_key(dc.state), write_known_hosts(dc, journal)))


def _outside(on: Scan, hosts: Sequence[Host], wish: DriftRequest) -> Outside:
    connect = wish.bmc
    members: dict[str, list[str]] = {}
    for host in hosts:
        if host.cluster is not None:
            members.setdefault(host.cluster, []).append(host.name)
    outside = Outside({}, {}, {})
    with ThreadPoolExecutor(bmc_facts.AT_ONCE, thread_name_prefix="drift") as pool:
        asked = [pool.submit(bmc_facts.ask, connect, on.journal, host) for host in hosts] if connect is not None else []
        clusters = list(pool.map(lambda name: _cluster(on, name, members[name]), members))
        parts = [*clusters, *(one.result() for one in asked)]
    return _together(parts, outside)


def _together(parts: Iterable[Outside], into: Outside) -> Outside:
    sides: dict[str, list[tuple[Desired, Facts]]] = {}
    troubles: dict[str, tuple[Trouble, ...]] = {}
    clusters = dict(into.clusters)
    kubelets: dict[str, Any] = {}
    for part in parts:
        for name, side in part.hosts.items():
            sides.setdefault(name, []).extend(side)
        for name, known in part.troubles.items():
            troubles[name] = (*troubles.get(name, ()), *known)
        clusters |= part.clusters
        kubelets |= part.kubelets
    return Outside(sides, clusters, troubles, kubelets)


def _cluster(on: Scan, name: str, members: Sequence[str]) -> Outside:
    dc = on.dc
    kubeconfig = dc.state / "kubeconfig" / name
    try:
        if not kubeconfig.exists():
            raise BmkError("there is no kubeconfig of this cluster yet", hint=f"bmk kubeconfig {dc.name} {name}")
        pair = metrics_pair(dc.state, name)
        names = release_of(dc.cluster(name).kubernetes.version).as_vars(dc.spec.deployer)[1]
        with Api(kubeconfig, _PATIENCE) as api:
            nodes = node_facts(api.nodes.objects())
            wanted = wanted_policies(dc, name, names, api.policies.namespaces(), pair.certificate)
            whole = {**binding_facts(*api.policies.roles()), **policy_facts(wanted, api.policies.objects())}
            images = image_facts(api.pods.objects(NAMESPACE))
            kubelets, silent = _kubelets(api.nodes, [h for h in members if _ready(nodes, h)])
    except BmkError as error:
        text = ": ".join(filter(None, (error.what, error.why)))
        return Outside(troubles={name: (Trouble("api", text, error.hint or f"bmk status {dc.name}"),)})
    mirror, before = desired_images(_images()), _builds(dc, on.journal)
    sides = {
        h: [
            (desired_nodes(dc, name, h), nodes.get(h, {"nodes": {}})),
            with_builds(mirror, before, images.get(h, {})),
        ]
        for h in members
    }
    return Outside(sides, {name: (desired_cluster(wanted), whole)}, silent, kubelets)


def _ready(nodes: Mapping[str, Facts], host: str) -> bool:
    """A node that is not is told as that, and its kubelet need not be asked."""
    return bool(nodes.get(host, {}).get("nodes", {}).get(host, {}).get("ready"))


def _kubelets(nodes: NodesApi, hosts: Sequence[str]) -> tuple[dict[str, Any], dict[str, tuple[Trouble, ...]]]:
    """Live settings by their path, by host, and of whom there are none although the node is Ready."""

    def ask(host: str) -> Any:
        try:
            return flat(nodes.kubelet_settings(host))
        except BmkError as error:
            return (Trouble("kubelet", f"its kubelet does not say what it runs with: {error.why or error.what}"),)
        except Exception as error:  # the API passes on whatever a kubelet says
            return (Trouble("kubelet", f"its kubelet's answer cannot be read: {type(error).__name__}"),)

    with ThreadPoolExecutor(_KUBELETS, thread_name_prefix="kubelets") as pool:
        said = dict(zip(hosts, pool.map(ask, hosts), strict=True))
    silent = {host: answer for host, answer in said.items() if isinstance(answer, tuple)}
    return {host: answer for host, answer in said.items() if host not in silent}, silent


def _event(run: str, standing: DriftStatus) -> Event:
    """What was found, for the timeline of the host."""
    drift, troubles = standing.drift, [{"cause": t.cause, "text": t.text} for t in standing.troubles]
    if troubles:
        text = f"drift is unknown: {troubles[0]['text']}"
    elif drift:
        first = max(drift, key=lambda f: f.severity == standing.state)
        more = f", and {len(drift) - 1} more" if len(drift) > 1 else ""
        text = f"drift, {standing.state}: {first.difference.text}{more}"
    else:
        text = "no drift"
    data = {"state": standing.state, "troubles": troubles, "items": [f.difference.key for f in drift][:50]}
    level: Any = "warning" if drift or troubles else "debug"
    return Event("drift", "drift.scanned", text, standing.name, run=None, level=level, data={**data, "look": run})
