"""`bmk maintenance`, `remove` and `reset`: what they refuse before any machine is changed."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from bmk.journal.records import MaintenanceRecord


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


def test_a_cluster_ends_by_its_name_only(cli: Any, journal: Any, real_lab: str) -> None:
    """Another name is declined, and so is none without a terminal; nothing is on record then."""
    assert cli("reset", real_lab, "lab", "--confirm", "lab-ha").code == 8
    assert cli("reset", real_lab, "nowhere").code == 3
    said = cli("reset", real_lab, "lab")
    assert (said.code, "nothing to reset" in said.err) == (0, True)
    journal.record("worker-1", "host_keys", ["ssh-ed25519 x"])
    journal.record("worker-1", "joined", {"cluster": "lab"})
    said = cli("reset", real_lab, "lab")
    assert (said.code, f"bmk reset {real_lab} lab --confirm lab" in said.err) == (8, True), said.err
    assert journal.records("reset") == {}


def test_what_is_not_installed_is_not_removed(cli: Any, journal: Any, real_lab: str) -> None:
    """It is taken out of the file; nothing is on record then."""
    said = cli("remove", real_lab, "worker-1", "--yes")
    assert (said.code, "take worker-1 out of" in said.err) == (6, True)
    assert journal.records("retired") == {}


def test_status_shows_who_is_left_alone(cli: Any, journal: Any) -> None:
    """With the reason and the next command; `--state` finds them."""
    MaintenanceRecord(at=time.time(), by="me@here", reason="fans").save(journal, "worker-1")
    said = cli("status", "lab", "--state", "maintenance", "-o", "wide")
    assert "by me@here: fans" in said.out
    assert "cp-1" not in said.out
    assert "bmk maintenance lab worker-1 off" in said.out
    assert "in maintenance" in cli("why", "lab", "worker-1").out


@pytest.mark.parametrize(
    ("typed", "record"),
    [("maintenance worker-1 on --reason fans", "maintenance"), ("remove worker-1 --reason old", "retired")],
)
def test_who_only_looks_or_declines_changes_nothing(
    cli: Any, journal: Any, real_lab: str, typed: str, record: str
) -> None:
    """`--plan` shows what would be done (exit code 2); without a yes nothing is on record, and the command is named."""
    verb, *rest = typed.split()
    journal.record("worker-1", "host_keys", ["ssh-ed25519 x"])
    said = cli(verb, real_lab, *rest, "--plan")
    assert (said.code, "ask its system to shut down" in said.out) == (2, True)
    assert journal.records(record) == {}
    said = cli(verb, real_lab, *rest)
    assert (said.code, f"bmk {verb} {real_lab} {' '.join(rest)} --yes" in said.err) == (8, True)
    assert journal.records(record) == {}
