"""What `bmk verify` found, in every format. docs/schema/verify.schema.json is made from here. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bmk.report.junit import TestCase, junit
from bmk.verify.run import VerifyResult

SCHEMA = 1
_OUTCOMES = ("passed", "failed", "error", "skipped")


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ResultPart(Part):
    where: str = Field(description="host, cluster, or cluster/host")
    suite: str
    test: str
    outcome: Literal["passed", "failed", "error", "skipped"] = Field(description="error: it could not be told")
    text: str
    seconds: float


class VerifyDocument(Part):
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
    """What is wrong, host by host; `wide`: everything."""
    for r in results:
        if wide or r.outcome in ("failed", "error"):
            text = r.text.split("\n")[0] if r.text else ""
            yield f"{r.where:<16} {r.outcome:<8} {r.suite}: {r.test}" + (f": {text}" if text else "")
            if r.outcome in ("failed", "error"):
                yield f"{'':<16} next: bmk why {dc} {r.where.rpartition('/')[2]}"


def summary(dc: str, seconds: float, results: Sequence[VerifyResult]) -> str:
    counts = _counts(results)
    said = ", ".join(f"{counts[o]} {o}" for o in _OUTCOMES if counts[o])
    return f"{dc}: {said or 'nothing to look at'} in {seconds:.1f} s"


def as_junit(dc: str, results: Sequence[VerifyResult]) -> str:
    return junit(f"bmk verify {dc}", ((where, [_case(r) for r in part]) for where, part in _by_place(results).items()))


def as_metrics(dc: str, results: Sequence[VerifyResult]) -> str:
    counts = _counts(results)
    lines = ["# HELP bmk_verify_results Tests by outcome.", "# TYPE bmk_verify_results gauge"]
    lines += [f'bmk_verify_results{{datacenter="{dc}",outcome="{o}"}} {counts[o]}' for o in _OUTCOMES]
    return "\n".join([*lines, ""])


def as_html(dc: str, results: Sequence[VerifyResult]) -> str:
    """A plain table that needs nothing."""
    rows = "".join(
        f"<tr><td>{escape(r.where)}<td><b>{r.outcome}</b><td>{escape(r.suite)}: {escape(r.test)}<td>{escape(r.text)}"
        for r in sorted(results, key=lambda r: _WORST.index(r.outcome))
    )
    style = "body{font:16px system-ui;margin:1rem}td,th{text-align:left;padding:.2rem .7rem;vertical-align:top}"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    head += (
        f'<meta name="viewport" content="width=device-width"><title>verify {escape(dc)}</title><style>{style}</style>'
    )
    return f"{head}<h1>verify {escape(dc)}</h1><p>{escape(summary(dc, 0, results))}<table><tr><th>where<th>outcome<th>test<th>seen{rows}</table>\n"  # noqa: E501


_WORST = ("failed", "error", "skipped", "passed")


def _case(r: VerifyResult) -> TestCase:
    failed, error = r.outcome == "failed", r.outcome == "error"
    first = r.text.split("\n")[0] or r.outcome
    return TestCase(f"{r.suite}: {r.test}", first if failed else "", first if error else "", r.text, r.seconds)


def _by_place(results: Sequence[VerifyResult]) -> dict[str, list[VerifyResult]]:
    found: dict[str, list[VerifyResult]] = {}
    for r in results:
        found.setdefault(r.where, []).append(r)
    return found


def _counts(results: Sequence[VerifyResult]) -> dict[str, int]:
    counts = Counter[str](r.outcome for r in results)
    return {o: counts.get(o, 0) for o in _OUTCOMES}
