"""A drift run in every format: the document of `bmk drift -o json`, lines for people, JUnit, Prometheus metrics. Pure.

docs/schema/drift.schema.json is made from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bmk.drift.model import SEVERITIES, DriftStatus, Finding, Severity
from bmk.journal.host_status import age
from bmk.report.junit import JunitCase, junit
from bmk.report.prometheus import Gauge, metrics

SCHEMA = 1
State = Literal["clean", "benign", "degraded", "security", "breaking", "unknown", "alone"]
Word = Literal["benign", "degraded", "security", "breaking"]


class DriftModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DifferencePart(DriftModel):
    """One attribute of one item that is not as desired. `field` "": the item is missing (`have` null) or too much."""

    item: str = Field(description="kind:id; what expected: in dc.yml matches")
    field: str
    want: Any
    have: Any
    text: str
    severity: Word
    owner: str = Field(description="who declared it: a role, dc.yml, kubeadm, or the last converge")
    since: str = Field(description="when it was seen first, UTC")
    repair: Literal["converge", "api", "bmc", ""] = Field(
        description="what bmk provision does about it; empty: a person has to"
    )
    next: str
    expected: str = Field(description="why it is an intended exception; empty: it is drift")
    note: str
    diff: str = Field(description="text diff, secrets masked")


class TroublePart(DriftModel):
    cause: str = Field(description="stable: silent, hangs, garbage, refused, wrong-key, no-python, disk-full, api, ...")
    text: str
    next: str


class StandingPart(DriftModel):
    name: str
    state: State
    seconds: float
    alone: str = Field(description="why nobody looked at it and what ends that; empty: somebody did")
    troubles: list[TroublePart] = Field(description="why answers are missing")
    differences: list[DifferencePart]


class DriftDocument(DriftModel):
    """The result of one `bmk drift`."""

    version: Literal[1] = Field(alias="schema")
    datacenter: str
    run: str
    at: str
    seconds: float
    summary: dict[str, int] = Field(description="hosts, clean, drifted, unknown, alone, and differences by severity")
    standings: list[StandingPart]


def document(dc: str, run: str, at: float, seconds: float, standings: Sequence[DriftStatus]) -> dict[str, Any]:
    """The document as plain data."""
    return {
        "schema": SCHEMA,
        "datacenter": dc,
        "run": run,
        "at": utc(at),
        "seconds": round(seconds, 3),
        "summary": summary(standings),
        "standings": [_standing(s) for s in standings],
    }


def summary(standings: Sequence[DriftStatus]) -> dict[str, int]:
    """Counts; every severity is present, so that graphs have zeros."""
    counts = Counter(f.severity for s in standings for f in s.drift)
    drifted = sum(1 for s in standings if s.drift)
    return {
        "hosts": len(standings),
        "clean": sum(1 for s in standings if s.state == "clean"),
        "drifted": drifted,
        "unknown": sum(1 for s in standings if s.state == "unknown"),
        "alone": sum(1 for s in standings if s.state == "alone"),
        "expected": sum(1 for s in standings for f in s.findings if f.expected),
        **{severity: counts.get(severity, 0) for severity in SEVERITIES},
    }


def only(standings: Sequence[DriftStatus], severities: Sequence[Severity], since: float) -> list[DriftStatus]:
    """With the differences of these severities (all, when none is named) that were not there before `since`."""

    def wanted(f: Finding) -> bool:
        return (not severities or f.severity in severities) and f.first >= since

    return [replace(s, findings=tuple(f for f in s.findings if wanted(f))) for s in standings]


def schema() -> dict[str, Any]:
    """JSON Schema of the document."""
    body = DriftDocument.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": "bmk drift -o json"}


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


def _standing(standing: DriftStatus) -> dict[str, Any]:
    return {
        "name": standing.name,
        "state": standing.state,
        "seconds": standing.seconds,
        "alone": standing.alone,
        "troubles": [{"cause": t.cause, "text": t.text, "next": t.next} for t in standing.troubles],
        "differences": [_difference(f) for f in standing.findings],
    }


def _difference(finding: Finding) -> dict[str, Any]:
    body = finding.as_dict()
    names = DifferencePart.model_fields
    return {name: utc(finding.first) if name == "since" else body[name] for name in names}


def table(standings: Sequence[DriftStatus], *, wide: bool) -> Iterator[str]:
    """Lines for people: each host with drift or trouble, its worst difference first; `wide` adds expected ones."""
    for standing in standings:
        if standing.alone:
            yield f"{standing.name}: left alone, {standing.alone}"
        shown = standing.findings if wide else standing.drift
        if not shown and not standing.troubles:
            continue
        yield f"{standing.name}: {standing.state}"
        for trouble in standing.troubles:
            yield f"  unknown    {trouble.text} ({trouble.cause})"
            if trouble.next:
                yield f"             next: {trouble.next}"
        for finding in sorted(shown, key=lambda f: -SEVERITIES.index(f.severity)):
            yield from _lines(finding, wide=wide)


def _lines(finding: Finding, *, wide: bool) -> Iterator[str]:
    difference = finding.difference
    since = f", since {age(finding.first)}" if finding.first and finding.first < finding.last else ""
    word = "expected" if finding.expected else finding.severity
    yield f"  {word:<10} {difference.kind}: {difference.text}  ({finding.owner}{since})"
    if finding.expected:
        yield f"             expected: {finding.expected}"
        return
    if finding.note and (wide or "is over" in finding.note):
        yield f"             note: {finding.note}"
    if wide and finding.diff:
        yield from (f"             | {line}" for line in finding.diff.splitlines())
    yield f"             next: {finding.next}"


def as_junit(dc: str, standings: Sequence[DriftStatus]) -> str:
    """A case for each difference and each trouble; a host without either is one case that passed."""
    return junit(
        f"bmk drift {dc}", ((s.name, list(_cases(s)) or [JunitCase("no drift", seconds=s.seconds)]) for s in standings)
    )


def _cases(standing: DriftStatus) -> Iterator[JunitCase]:
    if standing.alone:
        yield JunitCase("drift", skipped=standing.alone)
    for trouble in standing.troubles:
        yield JunitCase(f"unknown: {trouble.cause}", error=trouble.text or trouble.cause, text=trouble.next)
    for finding in standing.findings:
        difference = finding.difference
        if finding.expected:
            yield JunitCase(f"{difference.key} (expected)")
        else:
            text = "\n".join(filter(None, (finding.note, finding.diff, f"next: {finding.next}")))
            yield JunitCase(difference.key, failure=f"{finding.severity}: {difference.text}", text=text)


def as_metrics(dc: str, at: float, seconds: float, standings: Sequence[DriftStatus]) -> str:
    """A Prometheus textfile of one run that ended at `at` (seconds since the epoch)."""
    counts = Counter(f.severity for s in standings for f in s.drift)
    states = Counter(s.state for s in standings)
    causes = Counter(s.troubles[0].cause for s in standings if s.troubles)
    by_host = {s.name: Counter(f.severity for f in s.drift) for s in standings}
    return metrics(
        dc,
        [
            Gauge("bmk_drift_differences", "Differences that are not expected, by class.",
                  [(counts.get(s, 0), {"severity": s}) for s in SEVERITIES]),
            Gauge("bmk_drift_hosts", "Hosts and clusters by state.",
                  [(states.get(s, 0), {"state": s}) for s in ("clean", *SEVERITIES, "unknown", "alone")]),
            Gauge("bmk_drift_unknown", "Hosts and clusters that did not answer, by cause.",
                  [(n, {"cause": cause}) for cause, n in sorted(causes.items())]),
            Gauge("bmk_drift_host_differences", "Differences of one host that are not expected, by class.",
                  [(n, {"host": h, "severity": s}) for h, found in by_host.items() for s, n in sorted(found.items())]),
            Gauge("bmk_drift_run_seconds", "Duration of the run.", [(round(seconds, 3), {})]),
            Gauge("bmk_drift_last_run_timestamp_seconds", "When the last run ended.", [(round(at), {})]),
        ],
    )  # fmt: skip
