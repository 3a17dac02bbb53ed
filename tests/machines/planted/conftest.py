"""lab-mixed, brought up once: what is done to its virtual machine is done to one that works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, running


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("lab-mixed", "lab-mixed", tmp_path_factory.mktemp("planted")) as lab:
        lab.bmk("provision", "--yes", seconds=3000)
        yield lab
