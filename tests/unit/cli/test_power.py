"""`bmk power`: what it refuses before any BMC is asked. The switching itself is tested against real emulators."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from bmk.boot import grants
from bmk.cli.power import occupied

PERMISSION = grants.Permission(
    "cp-1", ("52:54:00:77:00:11",), None, "S", {"serial": "D"}, None, "node-image", "0" * 64, "none"
)


@pytest.fixture
def real_lab(tmp_path):
    """The lab's data center without its lab: machines that exist (and whose BMCs nobody will reach)."""
    directory = Path(__file__).parents[3] / "inventories/lab"
    shutil.copy(directory / "addresses.yml", tmp_path)
    text = (directory / "dc.yml").read_text()
    (tmp_path / "dc.yml").write_text(re.sub(r"\n *lab: \{kind.*", "", text))
    return str(tmp_path / "dc.yml")


def test_only_what_would_be_interrupted_counts(journal):
    """Nodes of a cluster and hosts that are being installed are occupied, others are not."""
    journal.record("worker-1", "joined", {"cluster": "lab"})
    assert occupied(journal, ["cp-1", "worker-1"]) == {"worker-1": "is a node of cluster lab"}
    grant = grants.open_grant(journal, PERMISSION, time.time())
    assert "cp-1" not in occupied(journal, ["cp-1"])
    grants.claim(journal, grant.id, "t" * 43, grants.Taken("10.77.0.11", "{}", "{}"), time.time())
    assert occupied(journal, ["cp-1"]) == {"cp-1": "is being installed"}


@pytest.mark.parametrize("action", ["off", "cycle", "shutdown", "restart"])
def test_interrupting_nodes_asks_first(cli, journal, real_lab, action):
    """Without a terminal and without --yes, what interrupts a node ends with exit code 8 and say what to type."""
    journal.record("cp-1", "joined", {"cluster": "lab"})
    said = cli("power", action, real_lab, "cp-1")
    assert said.code == 8
    assert "cp-1 is a node of cluster lab" in said.err
    assert f"bmk power {action} {real_lab} cp-1 --yes" in said.err


@pytest.mark.parametrize("action", ["on", "off", "cycle", "shutdown", "restart"])
def test_switching_off_all_hosts_needs_their_names(cli, state, action):
    """Switching needs names; only asking may be about all hosts."""
    said = cli("power", action, "lab")
    assert (said.code, "name the hosts" in said.err) == (64, True)


def test_an_unknown_host_is_a_wrong_configuration(cli, state):
    """A name that is not there ends with exit code 3 and the nearest name, before anything is asked of a lab."""
    said = cli("power", "status", "lab", "cp1")
    assert (said.code, "did you mean 'cp-1'?" in said.err) == (3, True)


def test_a_lab_that_is_down_says_what_to_type(cli, state):
    """Machines of a lab have BMCs only while it is up."""
    said = cli("power", "status", "lab")
    assert (said.code, "next: bmk lab up lab" in said.err) == (5, True)
