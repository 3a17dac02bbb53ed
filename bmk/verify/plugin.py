"""pytest plug-in: each result as one line of JSON in the file that BMK_VERIFY_REPORT names."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

_SHOWN = 2000  # characters of a reason
_MEMORY = 1 << 30  # bytes: testinfra keeps all that a host says, and a host may say it for ever


def pytest_configure() -> None:
    """This process asks one host only: when its answers fill the memory, its own suites end."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))


def pytest_runtest_logreport(report: Any) -> None:
    """Called by pytest after each part of a test: its call, or a set-up that failed or skipped."""
    if report.when != "call" and report.outcome == "passed":
        return
    line = {
        "suite": Path(report.nodeid.partition("::")[0]).stem.removeprefix("test_"),
        "test": report.nodeid.partition("::")[2].partition("[")[0].removeprefix("test_"),
        "outcome": "error" if report.when == "setup" and report.outcome == "failed" else report.outcome,
        "text": _text(report),
        "seconds": round(report.duration, 3),
    }
    with Path(os.environ["BMK_VERIFY_REPORT"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


def _text(report: Any) -> str:
    """The line that failed, not pytest's picture of it."""
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")[:_SHOWN]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).removeprefix("AssertionError: ")[:_SHOWN]
