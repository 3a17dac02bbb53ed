"""A machine of a cluster loses its power."""

from __future__ import annotations

import pytest

from tests.lab import Lab
from tests.machines.planted.plants import HOST

pytestmark = pytest.mark.machines


def test_a_machine_that_loses_power_comes_back_ready_from_its_disk(lab: Lab) -> None:
    """Power cycled by its BMC, without a grant, it boots its own disk and its node is Ready again."""
    lab.power_cycled(HOST)
