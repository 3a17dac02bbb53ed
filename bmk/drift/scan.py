"""A scan of many hosts: collect, compare with signed baselines, classify. Facts of APIs and BMCs are handed in."""

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
from bmk.drift.compare import compare, missing_kinds
from bmk.drift.desired import desired_of, wanted_for_baseline, wanted_of
from bmk.drift.expected import mark_expected, rotating
from bmk.drift.facts import FACTS, MANIFEST, TEXTS, Wanted, script
from bmk.drift.history import outstanding
from bmk.drift.model import Answer, Desired, DriftStatus, Facts, Finding, Trouble
from bmk.drift.outside.nodes import live_settings
from bmk.errors import BmkError, Unreachable
from bmk.journal import Journal
from bmk.journal.records import KeyRotationOrder


@dataclass(frozen=True, slots=True)
class Outside:
    """Facts from APIs and BMCs: what was desired and found, by host and by cluster, and why some did not answer.

    `kubelets` are live configurations, by host.
    """

    hosts: Mapping[str, list[tuple[Desired, Facts]]] = field(default_factory=dict)
    clusters: Mapping[str, tuple[Desired, Facts]] = field(default_factory=dict)
    troubles: Mapping[str, tuple[Trouble, ...]] = field(default_factory=dict)
    kubelets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan needs. `tell` is called with each host when it is done."""

    dc: DataCenter
    journal: Journal
    keys: Keys
    limits: CollectLimits = field(default_factory=CollectLimits)
    today: date = field(default_factory=date.today)
    tell: Callable[[DriftStatus], None] = lambda _: None


async def scan(on: Scan, hosts: Sequence[Host], outside: Outside) -> list[DriftStatus]:
    """The status of these hosts and of their clusters, hosts first, in the given order."""
    wanted, statuses = _desired(on, hosts)
    questions = {
        name: CollectRequest(str(on.dc.hosts[name].address), script(wanted_of(d))) for name, d in wanted.items()
    }
    async for answer in collect(questions, on.keys, on.limits):
        status = _status(on, answer, wanted[answer.host], outside)
        statuses[answer.host] = status
        on.tell(status)
    statuses |= await _with_texts(on, statuses, wanted)
    clusters = [_cluster(on, name, outside) for name in sorted({*outside.clusters, *outside.troubles} - set(statuses))]
    return [*(statuses[h.name] for h in hosts), *clusters]


def _desired(on: Scan, hosts: Sequence[Host]) -> tuple[dict[str, Desired], dict[str, DriftStatus]]:
    """What is desired of each host; and the status of hosts that have no baseline to compare with."""
    wanted: dict[str, Desired] = {}
    unknown: dict[str, DriftStatus] = {}
    for host in hosts:
        try:
            baseline = baselines.newest(on.journal, host.name)
            if baseline is not None and baseline.schema >= baselines.SCHEMA:
                wanted[host.name] = desired_of(host, baseline)
                continue
        except BmkError as error:
            trouble = Trouble("baseline", error.what, error.hint)
        else:
            cause, text = _NO_BASELINE if baseline is None else _OLD_BASELINE
            trouble = Trouble(cause, text, f"bmk provision {on.dc.name}")
        unknown[host.name] = DriftStatus(host.name, troubles=(trouble,))
    return wanted, unknown


_NO_BASELINE = ("never-converged", "no converge of it has ended, so there is no baseline to compare with")
_OLD_BASELINE = ("old-baseline", "its baseline was signed by an older bmk, which recorded less")


def _status(on: Scan, answer: Answer, desired: Desired, outside: Outside) -> DriftStatus:
    troubles = [*answer.troubles, *outside.troubles.get(answer.host, ())]
    if answer.facts:
        silent = [kind for kind in missing_kinds(desired, answer.facts) if kind != "kubelet"]  # asked of the API
        troubles += [Trouble("fact", f"its answer lacks: {kind}") for kind in silent]
    facts, live = dict(answer.facts), outside.kubelets.get(answer.host)
    if live is not None:
        facts["kubelet"] = live_settings(desired.facts.get("kubelet", {}), live)
    sides = [(desired, facts), *outside.hosts.get(answer.host, ())]
    found = [_findings(on, answer.host, *side) for side in sides]
    hints = {
        t.cause: _NEXT.get(t.cause, "bmk why {dc} {host}").format(dc=on.dc.name, host=answer.host) for t in troubles
    }
    aimed = tuple(replace(t, next=t.next or hints[t.cause]) for t in troubles)
    return DriftStatus(answer.host, tuple(f for part in found for f in part), aimed, answer.seconds)


def _cluster(on: Scan, name: str, outside: Outside) -> DriftStatus:
    side = outside.clusters.get(name)
    found = _findings(on, name, *side) if side is not None else ()
    return DriftStatus(name, tuple(found), outside.troubles.get(name, ()))


def _findings(on: Scan, where: str, desired: Desired, facts: Facts) -> Iterable[Finding]:
    host = on.dc.hosts.get(where)
    names, found = selectors(host) if host else {where}, compare(desired, facts)
    order = KeyRotationOrder.load(on.journal, host.cluster) if found and host and host.cluster else None
    for difference in found:
        finding = rotating(classify(on.dc.name, where, difference, desired, {}), order)
        yield mark_expected(finding, on.dc.spec.expected, names, on.today)


async def _with_texts(
    on: Scan, statuses: Mapping[str, DriftStatus], wanted: Mapping[str, Desired]
) -> dict[str, DriftStatus]:
    """A second request to the few hosts on which a text differs, for the diff."""
    questions: dict[str, CollectRequest] = {}
    for name, desired in wanted.items():
        paths = [f.difference.id for f in statuses[name].drift if _has_text(f, desired)]
        if paths:
            asked = script(Wanted(texts=sorted(set(paths))), (TEXTS,))
            questions[name] = CollectRequest(str(on.dc.hosts[name].address), asked)
    found: dict[str, DriftStatus] = {}
    async for answer in collect(questions, on.keys, on.limits):
        texts = {path: str(t["text"]) for path, t in answer.facts.get("texts", {}).items()}
        status = statuses[answer.host]
        shown = tuple(_with_diff(on, f, wanted[answer.host], texts) for f in status.findings)
        found[answer.host] = replace(status, findings=shown)
    return found


def _has_text(finding: Finding, desired: Desired) -> bool:
    d = finding.difference
    return d.kind == "files" and d.field == "sha256" and d.id in desired.texts


def _with_diff(on: Scan, finding: Finding, desired: Desired, texts: Mapping[str, str]) -> Finding:
    diff = classify(on.dc.name, finding.where, finding.difference, desired, texts).diff
    return replace(finding, diff=diff) if diff else finding


def _next(dc: str, host: str, cause: str) -> str:
    return _NEXT.get(cause, "bmk why {dc} {host}").format(dc=dc, host=host)


_NEXT: Mapping[str, str] = {
    "silent": "bmk power status {dc} {host}; bmk console {dc} {host}",
    "hangs": "bmk console {dc} {host}",
    "garbage": "bmk ssh {dc} {host} to see what answers there",
    "refused": "bmk console {dc} {host}: somebody replaced root's authorized keys; "
    "bmk reinstall {dc} {host} when it was not you",
    "wrong-key": "find who holds the address; never accept the key",
    "no-python": "bmk ssh {dc} {host} apt-get install python3",
    "disk-full": "bmk ssh {dc} {host} df -h (df -i for inodes) and make room",
    "api": "bmk why {dc} {host}",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A host that has just converged, and the digest of what its converge set."""

    host: str
    digest: str


async def make_baselines(on: Scan, hosts: Sequence[Asked]) -> dict[str, BmkError | list[str]]:
    """Sign a baseline of hosts that have just converged. By host: sections whose record it had forged, or the error."""
    done: dict[str, BmkError | list[str]] = {}
    first = {h.host: CollectRequest(_address(on, h.host), script(Wanted(), (MANIFEST,))) for h in hosts}
    manifests: dict[str, Mapping[str, Any]] = {}
    async for answer in collect(first, on.keys, on.limits):
        body = answer.facts.get("manifest", {}).get("manifest")
        if body is None:
            done[answer.host] = _no_answer(answer)
        else:
            manifests[answer.host] = body
    digests = {h.host: h.digest for h in hosts}
    done |= await _sign(on, manifests, digests)
    return done


async def _sign(
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
            done[answer.host] = _no_answer(answer)
            continue
        facts = {kind: items for kind, items in answer.facts.items() if kind != "texts"}
        new = baselines.make(
            answer.host, digests[answer.host], manifests[answer.host], facts, answer.facts.get("texts", {})
        )
        suspicious = [f.difference.item for f in open_.get(answer.host, ())]
        kept, forged = baselines.renewed(baselines.valid(on.journal, answer.host), new, suspicious)
        baselines.store(on.journal, kept)
        done[answer.host] = forged
    return done


def _address(on: Scan, host: str) -> str:
    return str(on.dc.hosts[host].address)


def _no_answer(answer: Answer) -> BmkError:
    why = "; ".join(t.text for t in answer.troubles) or "there is no manifest on it"
    return Unreachable(
        "what the converge left there could not be read, so no baseline was signed", where=answer.host, why=why
    )
