"""A lab of one control plane and one worker as system containers, in a state directory of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("kill", str(HERE / "dc.yml"), tmp_path_factory.mktemp("kill"), own_cache=True) as lab:
        yield lab
