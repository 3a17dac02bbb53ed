"""Failing runs as their journals have them (or cut off, where `stops` is in the name): each is told by its cause.

A file of `runs/` begins with what has to be said and the command that leads on; then come the events of the host since
the phase began.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmk.journal import Event
from bmk.journal.causes import likely_cause

RUNS = sorted((Path(__file__).parent / "runs").glob("*.jsonl"))


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.stem)
def test_a_real_run_is_explained(file: Path) -> None:
    """The rule that fits is the one a person would have named."""
    told, *rows = map(json.loads, file.read_text().splitlines())
    events = [
        Event(source, kind, text, told["host"], phase, None, level, data, at)
        for at, phase, source, kind, level, text, data in rows
    ]
    cause = likely_cause(told["phase"], events, "lab", told["host"], told["failed"])
    assert told["what"] in cause.what
    assert told["next"] in cause.hint
