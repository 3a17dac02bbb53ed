"""A small cluster of system containers, made by `bmk provision`, in a state directory of its own; for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.drift.taken import sealed
from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="package")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What must never be there: a file on the deployer, made by a command that a host chose."""
    return tmp_path_factory.mktemp("deployer") / "taken"


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory, marker: Path) -> Iterator[Lab]:
    with running("drift", str(HERE / "dc.yml"), tmp_path_factory.mktemp("drift"), own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("lab preseed")
        lab.on("worker-1", sealed(marker))
        lab.bmk("provision", "--yes")
        yield lab
