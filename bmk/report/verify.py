"""Results of `bmk verify` in every format. docs/schema/verify.schema.json is made from here. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bmk.report.html import render
from bmk.report.junit import JunitCase, junit
from bmk.report.prometheus import Gauge, metrics
from bmk.verify.run import VerifyResult

SCHEMA = 1
WHOLE = "host"  # the suite of results that are about a host as a whole
_OUTCOMES = ("passed", "failed", "error", "skipped")


class VerifyModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ResultPart(VerifyModel):
    where: str = Field(description="host, cluster, or cluster/host")
    suite: str
    test: str
    outcome: Literal["passed", "failed", "error", "skipped"] = Field(description="error: the result is unknown")
    text: str
    seconds: float


class VerifyDocument(VerifyModel):
    """The result of one `bmk verify`."""

    version: Literal[1] = Field(alias="schema")
    datacenter: str
    seconds: float
    summary: dict[str, int]
    results: list[ResultPart]


def schema() -> dict[str, Any]:
    """JSON Schema of the document."""
    body = VerifyDocument.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": "bmk verify -o json"}


def document(dc: str, seconds: float, results: Sequence[VerifyResult]) -> dict[str, Any]:
    rows = [r.as_dict() for r in results]
    return {
        "schema": SCHEMA,
        "datacenter": dc,
        "seconds": round(seconds, 3),
        "summary": _counts(results),
        "results": rows,
    }


def table(dc: str, results: Sequence[VerifyResult], *, wide: bool) -> Iterator[str]:
    """Lines for people: failures and errors, host by host, and hosts that were left alone; `wide`: everything."""
    for r in results:
        if wide or r.outcome in ("failed", "error") or r.suite == WHOLE:
            text = r.text.split("\n")[0] if r.text else ""
            yield f"{r.where:<16} {r.outcome:<8} {r.suite}: {r.test}" + (f": {text}" if text else "")
            if r.outcome in ("failed", "error"):
                yield f"{'':<16} next: bmk why {dc} {r.where.rpartition('/')[2]}"


def summary(dc: str, seconds: float, results: Sequence[VerifyResult]) -> str:
    counts = _counts(results)
    said = ", ".join(f"{counts[o]} {o}" for o in _OUTCOMES if counts[o])
    return f"{dc}: {said or 'no tests'} in {seconds:.1f} s"


def as_junit(dc: str, results: Sequence[VerifyResult]) -> str:
    places: dict[str, list[JunitCase]] = {}
    for r in results:
        places.setdefault(r.where, []).append(_case(r))
    return junit(f"bmk verify {dc}", places.items())


def as_metrics(dc: str, results: Sequence[VerifyResult]) -> str:
    """A Prometheus textfile."""
    samples = [(number, {"outcome": outcome}) for outcome, number in _counts(results).items()]
    return metrics(dc, [Gauge("bmk_verify_results", "Tests by outcome.", samples)])


def as_html(dc: str, seconds: float, results: Sequence[VerifyResult]) -> str:
    """One page with a table, failures first."""
    worst = ("failed", "error", "skipped", "passed")
    ordered = sorted(results, key=lambda r: worst.index(r.outcome))
    return render("verify", dc=dc, summary=summary(dc, seconds, results), results=ordered)


def _case(r: VerifyResult) -> JunitCase:
    first = r.text.split("\n")[0] or r.outcome
    message = {tag: first for tag in ("failure", "error", "skipped") if r.outcome.startswith(tag[:4])}
    return JunitCase(f"{r.suite}: {r.test}", text=r.text, seconds=r.seconds, **message)


def _counts(results: Sequence[VerifyResult]) -> dict[str, int]:
    counts = Counter[str](r.outcome for r in results)
    return {o: counts.get(o, 0) for o in _OUTCOMES}
