"""`bmk provision` by every way of proof, over the real clients of BMCs, the real boot server and the real agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.backup.collect import copy_journal
from bmk.boot.nonces import Nonces
from tests.lab import Lab, running

pytestmark = pytest.mark.services

DC = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: proofs}
spec:
  deployer: {address: 10.72.0.1}
  networks:
    nodes: {cidr: 10.72.0.0/24, gateway: 10.72.0.1, dhcp: {pool: 10.72.0.192/26}}
    bmc: {cidr: 10.73.0.0/24}
  profiles:
    by-default-redfish: {bmc: {kind: redfish, secret: bmc/proofs}, lab: {kind: simulated}}
    by-default-ipmi: {bmc: {kind: ipmi, secret: bmc/proofs}, lab: {kind: simulated}}
    by-sol: {bmc: {kind: ipmi, secret: bmc/proofs}, attest: {way: console}, lab: {kind: simulated}}
    by-console: {bmc: {kind: redfish, secret: bmc/proofs}, attest: {way: console}, lab: {kind: simulated}}
    by-none:
      bmc: {kind: redfish, secret: bmc/proofs}
      attest: {way: none, reason: to see that it is shown}
      lab: {kind: simulated}
  racks:
    r1:
      hosts:
"""
WAYS = {"default-redfish": "media", "default-ipmi": "mailbox", "sol": "console", "console": "console", "none": "none"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One simulated host of each profile, installed."""
    place = tmp_path_factory.mktemp("proofs")
    file = place / "dc" / "dc.yml"
    file.parent.mkdir()
    hosts = [
        f"        - {{name: {name}, profile: by-{name}, serial: P{i}, nics: [{{mac: '52:54:00:72:00:1{i}'}}], "
        f"address: 10.72.0.1{i}, bmc: {{address: 10.73.0.1{i}}}, disk: {{serial: PD{i}}}}}\n"
        for i, name in enumerate(WAYS, 1)
    ]
    file.write_text(DC + "".join(hosts))
    with running("proofs", str(file), place, own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        yield lab


@pytest.mark.parametrize("name", WAYS)
def test_a_host_installs_by_its_way(lab: Lab, name: str) -> None:
    """IPMI's mailbox, Redfish's virtual media, and the console over SOL and over Redfish; the record says which."""
    assert lab.journal.facts(name)["installed"]["attest"] == WAYS[name]
    assert lab.journal.facts(name)["host_keys"]


def test_the_secret_is_nowhere_but_where_it_belongs(lab: Lab, tmp_path: Path) -> None:
    """Neither as text nor as bytes in journal, logs or what the command said; only in its file and on the console."""
    nonces = Nonces.of(lab.journal)
    grants = [row[0] for row in lab.journal.query("SELECT id FROM grants")]
    secrets = [nonce for grant in grants if (nonce := nonces.get(grant))]
    assert len(secrets) == len(WAYS) - 1
    files = [p for p in (lab.state / lab.name).rglob("*") if p.is_file() and "nonces" not in p.parts]
    files = [p for p in files if p.name != "console.log"]
    journal = tmp_path / "journal"  # also where it is on a server
    copy_journal(lab.journal, journal)
    assert all(grant in journal.read_text() for grant in grants)
    for path in [*files, journal]:
        content = path.read_bytes()
        found = [s.hex() for s in secrets if s in content or s.hex().encode() in content]
        assert not found, path


def test_the_exception_is_shown_with_its_reason(lab: Lab) -> None:
    """plan, status and hardening say which hosts need no proof, and why; the others are no exception."""
    said = (
        "exception: no proof of which machine installs (attest: none, profile by-none: none): to see that it is shown"
    )
    assert said in lab.bmk("plan")
    rows = {row["host"]: row["attest"] for row in json.loads(lab.bmk("status", "-o", "json"))}
    assert rows == WAYS
    report = json.loads(lab.bmk("hardening", "-o", "json", code=None))
    assert [(e["kind"], e["what"]) for e in report["exceptions"]] == [("unproven", "by-none")]


def test_the_medium_is_out_and_the_mailbox_empty(lab: Lab) -> None:
    """What the next system on the machine finds there is nothing."""
    for name in ("default-redfish", "default-ipmi"):
        kinds = {event.kind for event in lab.journal.since(host=name)}
        assert "attest.delivered" in kinds
        assert "attest.left" not in kinds
    mailbox = lab.state / lab.name / "lab/machines/default-ipmi/mailbox"
    assert b"bmkn" not in mailbox.read_bytes()
