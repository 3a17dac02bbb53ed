"""A small cluster of system containers, made by `bmk provision`, with its state directory; for all tests here."""

from __future__ import annotations

import time
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
        _answers(lab, "worker-1")
        lab.on("worker-1", sealed(marker))
        lab.bmk("provision", "--yes")
        yield lab


def _answers(lab: Lab, host: str) -> None:
    """Wait until a host that was just switched on lets us in."""
    end = time.monotonic() + 120
    while lab.bmk("ssh", host, "--", "echo", "up", code=None) != "up\n":
        assert time.monotonic() < end, f"{host} does not answer"
        time.sleep(0.5)
