"""Drift as lines for people, and as JUnit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bmk.drift.model import SEVERITIES, DriftStatus, Finding
from bmk.journal.host_status import age
from bmk.report.junit import TestCase, junit


def table(standings: Sequence[DriftStatus], *, wide: bool) -> Iterator[str]:
    """Per host what is wrong, worst first; hosts without drift are not named (`wide` shows also what is expected)."""
    for standing in standings:
        shown = standing.findings if wide else standing.drift
        if not shown and not standing.troubles:
            continue
        yield f"{standing.name}: {standing.state}"
        for trouble in standing.troubles:
            yield f"  unknown    {trouble.text} ({trouble.cause})"
            if trouble.next:
                yield f"             next: {trouble.next}"
        for finding in sorted(shown, key=lambda f: -SEVERITIES.index(f.severity)):
            yield from _finding(finding, wide=wide)


def _finding(finding: Finding, *, wide: bool) -> Iterator[str]:
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
        f"bmk drift {dc}", ((s.name, list(_cases(s)) or [TestCase("no drift", seconds=s.seconds)]) for s in standings)
    )


def _cases(standing: DriftStatus) -> Iterator[TestCase]:
    for trouble in standing.troubles:
        yield TestCase(f"unknown: {trouble.cause}", error=trouble.text or trouble.cause, text=trouble.next)
    for finding in standing.findings:
        difference = finding.difference
        if finding.expected:
            yield TestCase(f"{difference.key} (expected)")
        else:
            text = "\n".join(filter(None, (finding.note, finding.diff, f"next: {finding.next}")))
            yield TestCase(difference.key, failure=f"{finding.severity}: {difference.text}", text=text)
