"""A report as JUnit XML: one suite per node or cluster, one case per control. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from bmk.hardening.assess import ControlResult, HardeningReport


def junit(report: HardeningReport) -> str:
    """The document. Waived and not applicable are skipped, unknown is an error."""
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *_suites(report)])


def _suites(report: HardeningReport) -> Iterator[str]:
    counts = report.counts
    numbers = f'tests="{len(report.results)}" failures="{counts["fail"]}" errors="{counts["unknown"]}"'
    yield f"<testsuites name={quoteattr(f'hardening {report.dc}')} {numbers}>"
    for where, results in groupby(report.results, key=lambda r: r.where):
        yield f"  <testsuite name={quoteattr(where)}>"
        for result in results:
            yield from _case(result)
        yield "  </testsuite>"
    yield "</testsuites>"


def _case(result: ControlResult) -> Iterator[str]:
    yield f"    <testcase classname={quoteattr(result.where)} name={quoteattr(result.control)}>"
    seen = _legal(result.seen)
    if result.state == "fail":
        yield f"      <failure message={quoteattr(result.title)}>{escape(seen)}</failure>"
    elif result.state == "unknown":
        yield f"      <error message={quoteattr(seen)}/>"
    elif result.state in ("waived", "na"):
        yield f"      <skipped message={quoteattr(_legal(result.reason) or seen)}/>"
    yield f"      <system-out>{escape(seen)}</system-out>"
    yield "    </testcase>"


def _legal(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return "".join(c for c in text if c in "\t\n" or c >= " ")
