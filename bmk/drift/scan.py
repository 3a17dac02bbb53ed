"""One look at many hosts: asks them, compares, judges, remembers. What APIs and BMCs said comes from above."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from bmk.datacenter.hosts import selectors
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift import baseline as baselines
from bmk.drift.classify import classify
from bmk.drift.collector import CollectLimits, CollectRequest, Keys, collect
from bmk.drift.compare import compare, unasked
from bmk.drift.desired import desired_of, wanted_for_baseline, wanted_of
from bmk.drift.expected import excuse
from bmk.drift.facts import FACTS, MANIFEST, TEXTS, Wanted, script
from bmk.drift.history import outstanding
from bmk.drift.model import Answer, Desired, DriftStatus, Facts, Finding, Trouble
from bmk.drift.outside.nodes import live_settings
from bmk.errors import BmkError, Unreachable
from bmk.journal import Journal


@dataclass(frozen=True, slots=True)
class Outside:
    """What others said: per host and per cluster facts, what was desired of them, and why they could not be asked.

    `kubelets` are live configurations, by host.
    """

    hosts: Mapping[str, list[tuple[Desired, Facts]]] = field(default_factory=dict)
    clusters: Mapping[str, tuple[Desired, Facts]] = field(default_factory=dict)
    troubles: Mapping[str, tuple[Trouble, ...]] = field(default_factory=dict)
    kubelets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a look needs. `tell` hears each host when it is done."""

    dc: DataCenter
    journal: Journal
    keys: Keys
    limits: CollectLimits = field(default_factory=CollectLimits)
    today: date = field(default_factory=date.today)
    tell: Callable[[DriftStatus], None] = lambda _: None


async def scan(on: Scan, hosts: Sequence[Host], outside: Outside) -> list[DriftStatus]:
    """Where these hosts and their clusters stand, hosts first, in the given order."""
    wanted, standings = _desired(on, hosts)
    questions = {
        name: CollectRequest(str(on.dc.hosts[name].address), script(wanted_of(d))) for name, d in wanted.items()
    }
    async for answer in collect(questions, on.keys, on.limits):
        standing = _standing(on, answer, wanted[answer.host], outside)
        standings[answer.host] = standing
        on.tell(standing)
    standings |= await _with_texts(on, standings, wanted)
    clusters = [_cluster(on, name, outside) for name in sorted({*outside.clusters, *outside.troubles} - set(standings))]
    return [*(standings[h.name] for h in hosts), *clusters]


def _desired(on: Scan, hosts: Sequence[Host]) -> tuple[dict[str, Desired], dict[str, DriftStatus]]:
    """What is desired of each host; and those of which nothing is known."""
    wanted: dict[str, Desired] = {}
    unknown: dict[str, DriftStatus] = {}
    for host in hosts:
        try:
            seal = baselines.newest(on.journal, host.name)
            if seal is not None and seal.schema >= baselines.SCHEMA:
                wanted[host.name] = desired_of(host, seal)
                continue
        except BmkError as error:
            trouble = Trouble("seal", error.what, error.hint)
        else:
            cause, text = _NO_SEAL if seal is None else _OLD_SEAL
            trouble = Trouble(cause, text, f"bmk provision {on.dc.name}")
        unknown[host.name] = DriftStatus(host.name, troubles=(trouble,))
    return wanted, unknown


_NO_SEAL = ("never-converged", "no converge of it has ended, so nothing is known to compare with")
_OLD_SEAL = ("old-seal", "it was sealed by an older bmk, which looked at less")


def _standing(on: Scan, answer: Answer, desired: Desired, outside: Outside) -> DriftStatus:
    troubles = [*answer.troubles, *outside.troubles.get(answer.host, ())]
    if answer.facts:
        silent = [kind for kind in unasked(desired, answer.facts) if kind != "kubelet"]  # the API says that
        troubles += [Trouble("fact", f"it did not say: {kind}") for kind in silent]
    sides = [
        (desired, {**answer.facts, **_kubelet(answer.host, desired, outside)}),
        *outside.hosts.get(answer.host, ()),
    ]
    found = [_judged(on, answer.host, *side) for side in sides]
    aimed = tuple(replace(t, next=t.next or _hint(on.dc.name, answer.host, t.cause)) for t in troubles)
    return DriftStatus(answer.host, tuple(f for part in found for f in part), aimed, answer.seconds)


def _kubelet(host: str, desired: Desired, outside: Outside) -> Facts:
    live, wanted = outside.kubelets.get(host), desired.facts.get("kubelet", {})
    return {} if live is None else {"kubelet": live_settings(wanted, live)}


def _cluster(on: Scan, name: str, outside: Outside) -> DriftStatus:
    side = outside.clusters.get(name)
    found = _judged(on, name, *side) if side is not None else ()
    return DriftStatus(name, tuple(found), outside.troubles.get(name, ()))


def _judged(on: Scan, where: str, desired: Desired, facts: Facts) -> Iterable[Finding]:
    names = selectors(on.dc.hosts[where]) if where in on.dc.hosts else {where}
    for difference in compare(desired, facts):
        finding = classify(on.dc.name, where, difference, desired, {})
        yield excuse(finding, on.dc.spec.expected, names, on.today)


async def _with_texts(
    on: Scan, standings: Mapping[str, DriftStatus], wanted: Mapping[str, Desired]
) -> dict[str, DriftStatus]:
    """A second question to the few hosts on which a text differs, so that people see what."""
    questions: dict[str, CollectRequest] = {}
    for name, desired in wanted.items():
        paths = [f.difference.id for f in standings[name].drift if _has_text(f, desired)]
        if paths:
            asked = script(Wanted(texts=sorted(set(paths))), (TEXTS,))
            questions[name] = CollectRequest(str(on.dc.hosts[name].address), asked)
    found: dict[str, DriftStatus] = {}
    async for answer in collect(questions, on.keys, on.limits):
        texts = {path: str(t["text"]) for path, t in answer.facts.get("texts", {}).items()}
        standing = standings[answer.host]
        shown = tuple(_shown(on, f, wanted[answer.host], texts) for f in standing.findings)
        found[answer.host] = replace(standing, findings=shown)
    return found


def _has_text(finding: Finding, desired: Desired) -> bool:
    d = finding.difference
    return d.kind == "files" and d.field == "sha256" and d.id in desired.texts


def _shown(on: Scan, finding: Finding, desired: Desired, texts: Mapping[str, str]) -> Finding:
    diff = classify(on.dc.name, finding.where, finding.difference, desired, texts).diff
    return replace(finding, diff=diff) if diff else finding


def _hint(dc: str, host: str, cause: str) -> str:
    return _NEXT.get(cause, "bmk why {dc} {host}").format(dc=dc, host=host)


_NEXT: Mapping[str, str] = {
    "silent": "bmk power status {dc} {host}; bmk console {dc} {host}",
    "hangs": "bmk console {dc} {host}",
    "garbage": "bmk ssh {dc} {host} to look at what answers there",
    "refused": "bmk console {dc} {host}: somebody replaced root's authorized keys; "
    "bmk reinstall {dc} {host} when it was not you",
    "wrong-key": "find who holds the address; never accept the key",
    "no-python": "bmk ssh {dc} {host} apt-get install python3",
    "disk-full": "bmk ssh {dc} {host} df -h (df -i for inodes) and make room",
    "api": "bmk why {dc} {host}",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A host that has just converged, as it is sealed."""

    host: str
    digest: str


async def make_baselines(on: Scan, hosts: Sequence[Asked]) -> dict[str, BmkError | list[str]]:
    """Seal hosts that have just converged. Per host: the sections whose record it had forged, or why it failed."""
    done: dict[str, BmkError | list[str]] = {}
    first = {h.host: CollectRequest(_address(on, h.host), script(Wanted(), (MANIFEST,))) for h in hosts}
    manifests: dict[str, Mapping[str, Any]] = {}
    async for answer in collect(first, on.keys, on.limits):
        body = answer.facts.get("manifest", {}).get("manifest")
        if body is None:
            done[answer.host] = _not_sealed(answer)
        else:
            manifests[answer.host] = body
    digests = {h.host: h.digest for h in hosts}
    done |= await _sealed(on, manifests, digests)
    return done


async def _sealed(
    on: Scan, manifests: Mapping[str, Mapping[str, Any]], digests: Mapping[str, str]
) -> dict[str, BmkError | list[str]]:
    done: dict[str, BmkError | list[str]] = {}
    questions = {
        name: CollectRequest(_address(on, name), script(wanted_for_baseline(manifest), (*FACTS, TEXTS)))
        for name, manifest in manifests.items()
    }
    open_ = outstanding(on.journal)
    async for answer in collect(questions, on.keys, on.limits):
        if not answer.facts:
            done[answer.host] = _not_sealed(answer)
            continue
        facts = {kind: items for kind, items in answer.facts.items() if kind != "texts"}
        new = baselines.make(
            answer.host, digests[answer.host], manifests[answer.host], facts, answer.facts.get("texts", {})
        )
        suspicious = [f.difference.item for f in open_.get(answer.host, ())]
        kept, forged = baselines.renewed(_old(on, answer.host), new, suspicious)
        baselines.store(on.journal, kept)
        done[answer.host] = forged
    return done


def _old(on: Scan, host: str) -> baselines.Baseline | None:
    try:
        return baselines.newest(on.journal, host)
    except BmkError:
        return None  # a forged one counts for nothing


def _address(on: Scan, host: str) -> str:
    return str(on.dc.hosts[host].address)


def _not_sealed(answer: Answer) -> BmkError:
    why = "; ".join(t.text for t in answer.troubles) or "there is no manifest on it"
    return Unreachable("it could not be asked what the converge left", where=answer.host, why=why)
