"""Settings of all tests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from tests import planted

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("bmk", deadline=None)
settings.load_profile("bmk")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What drift's tests planted, found and saw repaired."""
    rows = config.stash.get(planted.ROWS, {})
    if rows:
        terminalreporter.section("planted differences")
        for line in planted.table(list(rows.values())):
            terminalreporter.write_line(line)
