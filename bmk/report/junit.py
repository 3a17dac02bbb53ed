"""JUnit XML, as CI systems read it: a suite for each host, a case for each thing that was looked at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr


@dataclass(frozen=True, slots=True)
class TestCase:
    """`failure` "" is a pass; `error`: it could not be told."""

    name: str
    failure: str = ""
    error: str = ""
    text: str = ""
    seconds: float = 0.0


def junit(name: str, suites: Iterable[tuple[str, Sequence[TestCase]]]) -> str:
    """The document."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites name={quoteattr(name)}>"]
    for host, cases in suites:
        failures, errors = sum(bool(c.failure) for c in cases), sum(bool(c.error) for c in cases)
        counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}"'
        lines.append(f"  <testsuite name={quoteattr(host)} {counts}>")
        lines += [_case(host, case) for case in cases]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _case(host: str, case: TestCase) -> str:
    head = f'    <testcase classname={quoteattr(host)} name={quoteattr(_clean(case.name))} time="{case.seconds:.3f}"'
    message, tag = (case.failure, "failure") if case.failure else (case.error, "error")
    if not message:
        return head + "/>"
    return f"{head}><{tag} message={quoteattr(_clean(message))}>{escape(_clean(case.text))}</{tag}></testcase>"


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or c >= "\ue000")
