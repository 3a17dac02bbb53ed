"""A drift run as one document: `bmk drift -o json`. docs/schema/drift.schema.json is made from here. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bmk.drift.model import SEVERITIES, DriftStatus, Finding, Severity

SCHEMA = 1
State = Literal["clean", "benign", "degraded", "security", "breaking", "unknown"]
Word = Literal["benign", "degraded", "security", "breaking"]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DifferencePart(Part):
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


class TroublePart(Part):
    cause: str = Field(description="stable: silent, hangs, garbage, refused, wrong-key, no-python, disk-full, api, ...")
    text: str
    next: str


class StandingPart(Part):
    name: str
    state: State
    seconds: float
    troubles: list[TroublePart] = Field(description="why it could not be asked, or not everything")
    differences: list[DifferencePart]


class DriftDocument(Part):
    """The result of one `bmk drift`."""

    version: Literal[1] = Field(alias="schema")
    datacenter: str
    run: str
    at: str
    seconds: float
    summary: dict[str, int] = Field(description="hosts, clean, drifted, unknown, and differences by severity")
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
    """How many of what; every severity is named, so that graphs have zeros."""
    counts = Counter(f.severity for s in standings for f in s.drift)
    drifted = sum(1 for s in standings if s.drift)
    return {
        "hosts": len(standings),
        "clean": sum(1 for s in standings if s.state == "clean"),
        "drifted": drifted,
        "unknown": sum(1 for s in standings if s.state == "unknown"),
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
        "troubles": [{"cause": t.cause, "text": t.text, "next": t.next} for t in standing.troubles],
        "differences": [_difference(f) for f in standing.findings],
    }


def _difference(finding: Finding) -> dict[str, Any]:
    body = finding.as_dict()
    names = DifferencePart.model_fields
    return {name: utc(finding.first) if name == "since" else body[name] for name in names}
