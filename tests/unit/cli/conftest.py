"""bmk as a user types it, in this process, with a state directory of its own and journals that are real."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bmk.cli import bmk
from bmk.cli.failure import run
from bmk.engine.lock import RunLock
from bmk.journal import Event, Journal

BEGIN = 4_102_444_800.0  # 2100-01-01 00:00:00 UTC: the future, so that ages are 0 s


@dataclass(frozen=True)
class Said:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory; clocks show UTC."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return tmp_path / "state"


@pytest.fixture
def cli(state: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `bmk <args>`."""

    def typed(*args: str) -> Said:
        capsys.readouterr()
        code = run(bmk, list(args))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return typed


@pytest.fixture
def journal(state: Path) -> Journal:
    """The journal of the data center `lab`, still empty."""
    return Journal.open(state / "lab")


class Teller:
    """Writes events a second apart."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.now = journal, BEGIN

    def tell(self, host: str | None, source: Any, kind: str, text: str, **more: Any) -> None:
        self.now += more.pop("after", 1.0)
        names = {key: more.pop(key) for key in ("phase", "run", "level") if key in more}
        self.journal.append(Event(source, kind, text, host, at=self.now, data=more, **names))

    def phase(self, host: str, name: str, title: str, *, done: bool = True) -> None:
        """A phase of run r1 that begins, and ends well if `done`."""
        self.tell(host, "bmk", "phase.started", title, phase=name, run="r1")
        if done:
            self.tell(host, "bmk", "phase.finished", f"{title}: done", phase=name, run="r1")

    def failed(self, host: str, phase: str, what: str, why: str = "", hint: str = "") -> None:
        data = {"what": what, "why": why, "hint": hint}
        self.tell(host, "bmk", "phase.failed", what, phase=phase, run="r1", level="error", **data)


@pytest.fixture
def teller(journal: Journal) -> Teller:
    return Teller(journal)


@pytest.fixture
def at_work(journal: Journal) -> Iterator[None]:
    """This process holds the lock, with run r1."""
    with RunLock(journal, "r1"):
        yield


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with a file below golden/; BMK_GOLDEN=write writes it, for review as a diff."""

    def check(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if os.environ.get("BMK_GOLDEN") == "write":
            path.write_text(text)
        assert text == path.read_text(), f"{name} changed: review with BMK_GOLDEN=write and git diff"

    return check
