"""The page of a data center, from the journal alone: no machine is contacted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift import history
from bmk.drift.model import SEVERITIES, Finding
from bmk.journal import Event, Journal
from bmk.journal.diagnosis import find_cause
from bmk.journal.host_status import Projection
from bmk.journal.timeline import timeline
from bmk.report.drift import utc
from bmk.report.html import render
from bmk.report.upkeep import upkeep

_ROWS = 12  # newest rows of a host's timeline
_RUNS = 30


def write_page(dc: DataCenter, journal: Journal | None, seen: Projection) -> str:
    """The page as one HTML document."""
    return render("site", data=collect(dc, journal, seen))


def collect(dc: DataCenter, journal: Journal | None, seen: Projection) -> dict[str, Any]:
    """All data of the page, as plain values."""
    findings = history.outstanding(journal) if journal is not None else {}
    looked: dict[str, tuple[float, dict[str, Any]]] = history.standings(journal) if journal is not None else {}
    events = _events(journal, seen, dc.hosts) if journal is not None else {}
    hosts = [_host(h, events.get(h.name, []), seen, findings, looked) for h in dc.hosts.values()]
    clusters = []
    for name in dc.spec.clusters:
        if name in looked:
            at, standing = looked[name]
            drift = [_finding(f) for f in findings.get(name, []) if not f.expected]
            troubles = [t["text"] for t in standing.get("troubles", ())]
            state = standing.get("state", "")
            clusters.append({"name": name, "state": state, "looked": utc(at), "drift": drift, "troubles": troubles})
    checked = journal.records("hardening") if journal is not None else {}
    past = history.runs(journal, _RUNS) if journal is not None else []
    runs: list[dict[str, Any]] = []
    for run in past:
        counts: dict[str, int] = {severity: run.counts.get(severity, 0) for severity in SEVERITIES}
        runs.append({"at": utc(run.ended), "hosts": run.hosts, "unknown": run.unknown, **counts})
    return {
        "datacenter": dc.name,
        "at": utc(seen.now),
        "hosts": hosts,
        "clusters": clusters,
        "upkeep": upkeep(dc, journal, seen.now),
        "hardening": _hardening(checked, {*dc.hosts, *dc.spec.clusters}),
        "runs": runs,
    }


def _hardening(checked: dict[str, Any], names: set[str]) -> dict[str, Any] | None:
    """All hosts and clusters together; `failing` by control, with where. None: never checked."""
    known = {name: record for name, record in checked.items() if name in names}
    if not known:
        return None
    counts = Counter[str]()
    failing: dict[str, dict[str, Any]] = {}
    for name, record in sorted(known.items()):
        counts.update(record["counts"])
        for one in record["failing"]:
            failing.setdefault(one["control"], {**one, "where": []})["where"].append(name)
    oldest = min(record["at"] for record in known.values()).replace("+00:00", "Z")
    return {"at": oldest, "counts": dict(counts), "failing": sorted(failing.values(), key=lambda f: -len(f["where"]))}


def _host(
    host: Host,
    events: Sequence[Event],
    seen: Projection,
    findings: dict[str, list[Finding]],
    looked: dict[str, tuple[float, dict[str, Any]]],
) -> dict[str, Any]:
    at, cause = seen.status(host.name), find_cause(events, host.name, seen)
    drift = [f for f in findings.get(host.name, ()) if not f.expected]
    looked_at, standing = looked.get(host.name, (0.0, {}))
    return {
        "name": host.name,
        "rack": host.rack,
        "role": host.role,
        "cluster": host.cluster or "",
        "address": str(host.address),
        "phase": at.phase or at.state,
        "where": at.state,
        "state": _state(at.state, str(standing.get("state", ""))),
        "looked": utc(looked_at),
        "troubles": [t["text"] for t in standing.get("troubles", ())],
        "cause": None if cause is None else {"what": cause.what, "why": cause.why, "next": cause.hint},
        "drift": [_finding(f) for f in drift],
        "timeline": [[utc(e.at), e.source, e.level, e.text.split("\n")[0]] for e in timeline(events)[-_ROWS:]],
    }


def _state(where: str, drift: str) -> str:
    """One word for the colour: the state of provisioning comes first, then drift."""
    if where != "ready":
        return where
    return drift if drift not in ("", "clean") else "clean" if drift else "ready"


def _finding(f: Finding) -> dict[str, str]:
    """Of a long diff the page shows the beginning."""
    known = {"severity": f.severity, "text": f"{f.difference.kind}: {f.difference.text}", "owner": f.owner}
    return {**known, "since": utc(f.first), "next": f.next, "note": f.note, "diff": f.diff[:1500]}


def _events(journal: Journal, seen: Projection, hosts: Iterable[str]) -> dict[str, list[Event]]:
    """The newest events of all hosts in one query, and all those of a host whose trouble is to be explained."""
    found: dict[str, list[Event]] = {}
    for event in journal.tails(40):
        found.setdefault(str(event.host), []).append(event)
    for host in hosts:
        if seen.status(host).state in ("failed", "running"):
            found[host] = journal.since(host=host)
    return found
