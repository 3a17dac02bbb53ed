"""`bmk tpm`: a person says which TPM is a host's, having been shown what was presented."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bmk.boot.tpm.accepted import Seen, accept, accepted, remember
from bmk.journal import Journal
from tests.unit.cli.conftest import Cli

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def hosts(tmp_path: Path, journal: Journal) -> str:
    """The lab's data center as machines with TPMs that nobody's lab makes."""
    lab = Path(__file__).parents[3] / "inventories/lab"
    (tmp_path / "addresses.yml").write_bytes((lab / "addresses.yml").read_bytes())
    text = re.sub(r"\n *lab: \{kind.*", "\n      attest: {way: tpm}", (lab / "dc.yml").read_text())
    (tmp_path / "dc.yml").write_text(text)
    return str(tmp_path / "dc.yml")


def shown(journal: Journal, ek: str, issuer: str = "") -> None:
    remember(journal, "cp-1", Seen(ek, issuer, "10.77.0.11", "52:54:00:77:00:11", time.time()))


def test_listing_a_presented_tpm_does_not_accept_it(cli: Cli, journal: Journal, hosts: str) -> None:
    """Digest, whom its certificate names (in quotation marks), where it came from; without a terminal, no more."""
    shown(journal, ONE, 'O=Maker"; rm')
    said = cli("tpm", "accept", hosts, "cp-1")
    assert said.code == 8
    for part in (ONE, '"O=Maker\'; rm", unchecked', "10.77.0.11, MAC 52:54:00:77:00:11", "cp-1 --ek DIGEST"):
        assert part in said.err
    assert accepted(journal, "cp-1") is None


@pytest.mark.parametrize(("answer", "counts"), [("y", ONE), ("n", None), ("", None)])
def test_a_person_is_asked_on_a_terminal(journal: Journal, hosts: str, answer: str, counts: str | None) -> None:
    """Yes accepts; no, and just pressing return, change nothing."""
    shown(journal, ONE)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bmk", "tpm", "accept", hosts, "cp-1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    code = process.wait(60)
    os.close(ours)
    assert (accepted(journal, "cp-1"), code) == (counts, 0 if counts else 8)


def test_several_that_were_presented_have_to_be_told_apart(cli: Cli, journal: Journal, hosts: str) -> None:
    """Nobody is asked about one of them: the digest that was compared is named."""
    shown(journal, ONE)
    shown(journal, OTHER)
    said = cli("tpm", "accept", hosts, "cp-1")
    assert (said.code, "2 TPMs were presented" in said.err) == (6, True)
    assert cli("tpm", "accept", hosts, "cp-1", "--ek", OTHER.upper()).code == 0
    assert accepted(journal, "cp-1") == OTHER


def test_a_digest_is_accepted_unseen_and_has_to_be_well_formed(cli: Cli, journal: Journal, hosts: str) -> None:
    """From the papers of the vendor; anything else than 64 hex digits is a mistake."""
    assert cli("tpm", "accept", hosts, "cp-1", "--ek", ONE[:-1]).code == 64
    assert cli("tpm", "accept", hosts, "cp-1").code == 6  # nothing was presented
    assert cli("tpm", "accept", hosts, "cp-1", "--ek", ONE).code == 0
    assert accepted(journal, "cp-1") == ONE


def test_the_list_says_what_counts_and_what_was_only_shown(cli: Cli, journal: Journal, hosts: str) -> None:
    """Accepted first; after refusing nothing is left, and refusing again says so."""
    shown(journal, ONE, "O=Maker")
    shown(journal, OTHER)
    accept(journal, "cp-1", ONE, time.time())
    rows = json.loads(cli("tpm", "list", hosts, "-o", "json").out)
    assert [(row["state"], row["ek"], row["issuer"]) for row in rows] == [
        ("accepted", ONE, "O=Maker"),
        ("presented", OTHER, ""),
    ]
    assert cli("tpm", "refuse", hosts, "cp-1").code == 0
    assert json.loads(cli("tpm", "list", hosts, "cp-1", "-o", "json").out) == []
    assert "was accepted or presented" in cli("tpm", "refuse", hosts, "cp-1").err


def test_hosts_that_prove_themselves_otherwise_have_none(cli: Cli, journal: Journal) -> None:
    """It would be believed to count."""
    said = cli("tpm", "accept", "lab", "cp-1", "--ek", ONE)
    assert (said.code, "does not prove itself by a TPM" in said.err) == (6, True)
    assert accepted(journal, "cp-1") is None
