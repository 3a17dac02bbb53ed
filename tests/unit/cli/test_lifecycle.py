"""`bmk maintenance`: what it refuses before any machine is asked."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def real_lab(tmp_path: Path) -> str:
    """The lab's data center without its lab: machines that exist, and whose BMCs nobody will reach."""
    directory = Path(__file__).parents[3] / "inventories/lab"
    shutil.copy(directory / "addresses.yml", tmp_path)
    text = (directory / "dc.yml").read_text()
    (tmp_path / "dc.yml").write_text(re.sub(r"\n *lab: \{kind.*", "", text))
    return str(tmp_path / "dc.yml")


def test_a_reason_is_asked_for(cli: Any, journal: Any, real_lab: str) -> None:
    """Whoever finds the host off has to know why; nothing is on record then."""
    journal.record("worker-1", "host_keys", ["ssh-ed25519 x"])
    said = cli("maintenance", real_lab, "worker-1", "on", "--yes")
    assert (said.code, "--reason" in said.err) == (64, True)
    assert journal.records("maintenance") == {}


def test_what_is_not_installed_is_not_maintained(cli: Any, journal: Any, real_lab: str) -> None:
    """It could not come back; nothing is on record then."""
    said = cli("maintenance", real_lab, "worker-1", "on", "--reason", "fans", "--yes")
    assert (said.code, "not installed" in said.err) == (6, True)
    assert journal.records("maintenance") == {}
