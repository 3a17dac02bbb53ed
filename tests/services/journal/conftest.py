"""Both databases that can be behind a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bmk.journal import Journal, Server
from tests import postgres

OpenJournal = Callable[..., Journal]


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server | None]:
    """None for SQLite."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    if request.param == "sqlite":
        yield None
        return
    started: postgres.Server = request.getfixturevalue("postgres_server")
    yield Server(started.url)
    started.empty()


@pytest.fixture
def open_journal(server: Server | None, tmp_path: Path) -> Iterator[OpenJournal]:
    """Opens the same journal again and again, as processes do."""
    opened: list[Journal] = []

    def open_one(name: str = "par") -> Journal:
        opened.append(Journal.open(tmp_path / name, server))
        return opened[-1]

    yield open_one
    for journal in opened:
        with suppress(Exception):
            journal.close()


@pytest.fixture
def journal(open_journal: OpenJournal) -> Journal:
    return open_journal()
