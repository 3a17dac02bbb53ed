"""A hardening report as a page and as JUnit. Pure."""

from __future__ import annotations

from itertools import groupby

from bmk.hardening.assess import STATES, ControlResult, HardeningReport
from bmk.report.html import render
from bmk.report.junit import JunitCase, junit

_WORDS = {"fail": "fails", "unknown": "unknown", "waived": "waived", "na": "not applicable", "pass": "holds"}
_SIGNS = {"fail": "✗", "unknown": "?", "waived": "~", "na": "-", "pass": "✓"}
_KINDS = {
    "unproven": "Machines that install without a proof of identity",
    "would-be-denied": "Would be denied: tell their owners before deny is switched on",
    "namespace": "Namespaces that do not deny",
    "exempt": "Exempt namespaces",
    "static-pod": "Static pods with group 0: admission never sees them",
    "node": "Nodes without Strict",
}


def as_html(report: HardeningReport) -> str:
    """One page: the summary, what fails or is waived, the exceptions by kind, then every control of every place."""
    places = []
    for where, group in groupby(report.results, key=lambda r: r.where):
        results = sorted(group, key=lambda r: STATES.index(r.state))
        places.append((where, results, sum(r.state in ("fail", "unknown") for r in results)))
    exceptions = [(text, [e for e in report.exceptions if e.kind == kind]) for kind, text in _KINDS.items()]
    return render(
        "hardening",
        report=report,
        found=[r for state in ("fail", "waived") for r in report.results if r.state == state],
        kinds=[(text, found) for text, found in exceptions if found],
        places=places,
        words=_WORDS,
        signs=_SIGNS,
    )


def as_junit(report: HardeningReport) -> str:
    """A suite per node or cluster, a case per control: waived and not applicable are skipped, unknown is an error."""
    places = groupby(report.results, key=lambda r: r.where)
    return junit(f"hardening {report.dc}", ((where, [_case(r) for r in results]) for where, results in places))


def _case(result: ControlResult) -> JunitCase:
    return JunitCase(
        result.control,
        failure=result.title if result.state == "fail" else "",
        error=result.seen or "unknown" if result.state == "unknown" else "",
        skipped=result.reason or result.seen or result.state if result.state in ("waived", "na") else "",
        text=result.seen if result.state == "fail" else "",
        output=result.seen,
    )
