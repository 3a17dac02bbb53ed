"""lab-mixed: three control planes behind a virtual address and a worker as containers, one worker as a machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("lab-mixed", "lab-mixed", tmp_path_factory.mktemp("mixed")) as lab:
        yield lab
