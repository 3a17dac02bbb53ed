"""JUnit XML, as CI systems read it: a suite for each host or cluster, a case for each check. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One check. It passed unless one of `failure`, `error` (the result is unknown) or `skipped` holds a message.

    `text` explains a failure or an error; `output` is the evidence, whatever the result.
    """

    name: str
    failure: str = ""
    error: str = ""
    text: str = ""
    seconds: float = 0.0
    skipped: str = ""
    output: str = ""


def junit(name: str, suites: Iterable[tuple[str, Sequence[JunitCase]]]) -> str:
    """The document; `suites` are names of hosts or clusters with their cases."""
    listed = list(suites)
    root = ElementTree.Element("testsuites", _counts(name, [c for _, cases in listed for c in cases]))
    for place, cases in listed:
        suite = ElementTree.SubElement(root, "testsuite", _counts(place, cases))
        for case in cases:
            time = f"{case.seconds:.3f}"
            element = ElementTree.SubElement(
                suite, "testcase", classname=_legal(place), name=_legal(case.name), time=time
            )
            for tag in ("failure", "error", "skipped"):
                if message := getattr(case, tag):
                    ElementTree.SubElement(element, tag, message=_legal(message)).text = _legal(case.text)
            if case.output:
                ElementTree.SubElement(element, "system-out").text = _legal(case.output)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _counts(name: str, cases: Sequence[JunitCase]) -> dict[str, str]:
    numbers = {
        "tests": len(cases),
        "failures": sum(bool(c.failure) for c in cases),
        "errors": sum(bool(c.error) for c in cases),
        "skipped": sum(bool(c.skipped) for c in cases),
    }
    return {"name": _legal(name), **{key: str(number) for key, number in numbers.items()}}


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)
