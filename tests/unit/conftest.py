"""Fixtures of the tests that run whole actions against a data center in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from tests.simulation import ROOT, Killed, Simulation


@pytest.fixture
def ha() -> DataCenter:
    """Three control planes and two workers."""
    return load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")


@pytest.fixture
def simulation(ha: DataCenter, tmp_path: Path) -> Simulation:
    return Simulation(ha, tmp_path)


@pytest.fixture
def make_simulation(ha: DataCenter, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Simulation]:
    """A fresh world at each call, for property tests."""
    return lambda: Simulation(ha, tmp_path_factory.mktemp("simulation"))


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed
