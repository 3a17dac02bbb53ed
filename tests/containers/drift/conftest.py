"""A small cluster of system containers, made by `bmk provision`, in a state directory of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("drift", str(HERE / "dc.yml"), tmp_path_factory.mktemp("drift"), own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("lab preseed")
        lab.bmk("provision", "--yes")
        yield lab
