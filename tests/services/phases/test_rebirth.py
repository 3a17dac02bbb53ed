"""`bmk reinstall` and `bmk lab down --delete` with simulated machines: each real installation is a new life."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bench.simulated import datacenter
from bmk.drift import history
from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference, DriftStatus
from bmk.journal.installation import installation
from tests.lab import Lab, running

pytestmark = pytest.mark.services
HOST, OTHER = "s-00001", "s-00000"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two machines that are installed."""
    place = tmp_path_factory.mktemp("rebirth")
    file = place / "dc" / "dc.yml"
    file.parent.mkdir()
    file.write_text(datacenter(2))
    with running("simulated", str(file), place, own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        yield lab


@pytest.fixture
def known(lab: Lab) -> Lab:
    """A finding of drift and a suspicion about a host, as `bmk drift` and `bmk hardening` leave them."""
    difference = Difference("files", "/etc/kubernetes/manifests/etcd.yaml", "sha256", "old", "new")
    finding = classify(lab.name, HOST, difference, Desired(), {})
    history.remember(lab.journal, "run", time.time(), time.time(), [DriftStatus(HOST, (finding,))])
    lab.journal.record(HOST, "suspect", {"by": "hardening", "what": ["x"]})
    return lab


def test_an_order_does_nothing_without_the_hosts_name(known: Lab) -> None:
    """Declined, and the order is taken back: nothing is planned, and the machine is what it was."""
    before = installation(known.journal, HOST)
    known.bmk("reinstall", "--limit", HOST, "--yes", code=8)  # selected, and not named
    known.bmk("reinstall", HOST, code=8)  # named, and nobody was asked
    assert "wipe disk" not in known.bmk("plan", code=None)
    assert installation(known.journal, HOST) == before


def test_installed_again_it_has_no_past(known: Lab) -> None:
    """A new installation with new host keys, installed once, and what was known of the old one is history."""
    before, other = (installation(known.journal, name) for name in (HOST, OTHER))
    known.bmk("reinstall", HOST, "--yes")
    known.bmk("plan")
    assert installation(known.journal, HOST) not in ("", before)
    assert installation(known.journal, OTHER) == other
    assert history.outstanding(known.journal) == {}
    assert "suspect" not in known.journal.facts(HOST)
    spent = "SELECT host, count(*) FROM grants WHERE outcome = 'spent' GROUP BY host ORDER BY host"
    assert known.journal.query(spent) == [(OTHER, 1), (HOST, 2)]


def test_a_deleted_lab_leaves_no_past(known: Lab) -> None:
    """Of machines that were deleted nothing is known but history."""
    known.bmk("lab down", "--delete")
    assert known.journal.query("SELECT host, key FROM records WHERE host LIKE 's-%'") == []
    assert history.outstanding(known.journal) == {}
    assert history.standings(known.journal) == {}
    assert known.journal.query("SELECT count(*) FROM drift WHERE gone IS NOT NULL") == [(2,)]
