"""lab-ha as it is in inventories/: three control planes behind a virtual address and two workers, by one command."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab, running

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("lab-ha", "lab-ha", tmp_path_factory.mktemp("ha"), own_cache=True) as lab:
        yield lab


def test_one_command_brings_up_all_of_it(lab: Lab) -> None:
    """From powered off to five Ready nodes and a passed smoke test."""
    lab.bmk("provision", "--yes")
    ready = {
        name: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for name, node in lab.nodes().items()
    }
    assert ready == dict.fromkeys(("cp-1", "cp-2", "cp-3", "worker-1", "worker-2"), "True")
    assert {check.level for check in lab.journal.since(kind="smoke.check")} == {"info"}


def test_it_is_what_the_file_says(lab: Lab) -> None:
    """No plan has anything to do, no control fails, nothing drifted: on the first day there is nothing to explain."""
    lab.bmk("plan")
    lab.bmk("drift")
    held = json.loads(lab.bmk("hardening", "-o", "json"))
    assert {v["state"] for v in held["results"]} <= {"pass", "na"}
