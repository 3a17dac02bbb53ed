"""Settings of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests import planted, postgres

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("bmk", deadline=None)
settings.load_profile("bmk")


# With BMK_TEST_JOURNAL=postgres every journal that a test opens by itself is in PostgreSQL; SQLite otherwise.
EVERYWHERE = os.environ.get("BMK_TEST_JOURNAL", "sqlite") == "postgres"
_HOLDS_STATE = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server of this test process."""
    with postgres.server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _journals_of_module(request: pytest.FixtureRequest) -> Iterator[None]:
    if not EVERYWHERE:
        yield
        return
    server: postgres.Server = request.getfixturevalue("postgres_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BMK_JOURNAL", server.url)
        yield
    server.empty()


@pytest.fixture(autouse=True)
def _journals_of_test(request: pytest.FixtureRequest, _journals_of_module: None) -> Iterator[None]:
    """Each test ends without journals, unless its module holds state by now."""
    yield
    module = request.node.getparent(pytest.Module).stash
    module[_HOLDS_STATE] = module.get(_HOLDS_STATE, False) or _holds_state(request)
    if EVERYWHERE and not module[_HOLDS_STATE]:
        server: postgres.Server = request.getfixturevalue("postgres_server")
        server.empty()


def _holds_state(request: pytest.FixtureRequest) -> bool:
    """Whether the test used a fixture that lives as long as its module: only those of real services have state.

    To be asked after the test: another fixture may have asked for that one by its name.
    """
    own = [one for name, one in request._fixture_defs.items() if name != "_journals_of_module"]
    return "services" in request.path.parts and any(one.scope == "module" for one in own)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What drift's tests planted, found and saw repaired."""
    rows = config.stash.get(planted.ROWS, {})
    if rows:
        terminalreporter.section("planted differences")
        for line in planted.table(list(rows.values())):
            terminalreporter.write_line(line)
