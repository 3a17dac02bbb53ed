"""`bmk provision` of a host that proves itself by its TPM: shown once, accepted by a person, installed from then on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from bmk.boot.tpm.measured import RECORD
from tests.lab import Lab, running

pytestmark = pytest.mark.services

DC = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: tpms}
spec:
  deployer: {address: 10.74.0.1}
  networks:
    nodes: {cidr: 10.74.0.0/24, gateway: 10.74.0.1, dhcp: {pool: 10.74.0.192/26}}
    bmc: {cidr: 10.75.0.0/24}
  profiles:
    by-tpm: {bmc: {kind: redfish, secret: bmc/tpms}, attest: {way: tpm}, lab: {kind: simulated, tpm: true}}
  racks:
    r1:
      hosts:
        - {name: one, profile: by-tpm, serial: T1, nics: [{mac: '52:54:00:74:00:11'}], address: 10.74.0.11,
           bmc: {address: 10.75.0.11}, disk: {serial: TD1}}
        - {name: two, profile: by-tpm, serial: T2, nics: [{mac: '52:54:00:74:00:12'}], address: 10.74.0.12,
           bmc: {address: 10.75.0.12}, disk: {serial: TD2}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two simulated hosts with a TPM each, on which the first `bmk provision` has ended."""
    place = tmp_path_factory.mktemp("tpms")
    file = place / "dc" / "dc.yml"
    file.parent.mkdir()
    file.write_text(DC)
    with running("tpms", str(file), place, own_cache=True) as lab:
        lab.bmk("lab up")
        yield lab


def test_a_host_is_installed_once_its_tpm_is_accepted(lab: Lab) -> None:
    """From the first look to the pin: what was shown, refused, said, accepted by name, and never trusted in between."""
    assert "no TPM is accepted yet of one, two" in _said(lab, "plan")
    _said(lab, "provision", "--yes")
    rows = {row["host"]: row for row in json.loads(lab.bmk("tpm list", "-o", "json"))}
    assert [(rows[name]["state"], rows[name]["from"] is not None) for name in ("one", "two")] == [
        ("presented", True)
    ] * 2
    assert not any(lab.journal.facts(name).get("host_keys") for name in rows)
    for name in rows:
        cause = json.loads(lab.bmk("why", name, "-o", "json"))["cause"]
        assert rows[name]["ek"] in cause["what"]
        assert cause["next"].startswith(f"bmk tpm accept tpms {name}")

    lab.bmk("tpm accept", "one", code=8)  # nobody can be asked, and nothing was compared
    lab.bmk("tpm accept", "one", "--ek", rows["one"]["ek"])
    lab.bmk("tpm accept", "two", "--ek", rows["one"]["ek"], code=6)  # that is the other's
    lab.bmk("tpm accept", "two", "--ek", rows["two"]["ek"])
    lab.bmk("provision", "--yes")
    for name in rows:
        facts = lab.journal.facts(name)
        assert (facts["installed"]["attest"], facts[RECORD]["ek"]) == ("tpm", rows[name]["ek"])
        assert facts["host_keys"]
    assert {row["state"] for row in json.loads(lab.bmk("tpm list", "-o", "json"))} == {"accepted"}

    lab.bmk("tpm refuse", "two")
    assert [row["host"] for row in json.loads(lab.bmk("tpm list", "-o", "json"))] == ["one"]


def _said(lab: Lab, *arguments: str) -> str:
    """Both streams of a command that may end with any code."""
    done = subprocess.run(lab.command(*arguments), env=lab.env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
