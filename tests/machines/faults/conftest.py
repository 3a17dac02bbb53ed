"""Two spare machines; the virtual one meets what only real firmware, cables and disks can do wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("vm-faults", str(HERE / "dc.yml"), tmp_path_factory.mktemp("vm-faults"), own_cache=True) as lab:
        lab.bmk("lab up")
        yield lab
