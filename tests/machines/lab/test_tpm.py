"""Virtual machines with real firmware and a TPM: the ramdisk meets the challenge and claims with a proof."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bmk.boot import grants
from bmk.boot.tpm.measured import RECORD
from tests.lab import Lab, running

pytestmark = pytest.mark.machines
DEADLINE = 900  # seconds for two machines under emulation to boot and claim
UNTOUCHED = ("00" * 32, "ff" * 32)  # a register that nothing was measured into

DC = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: trusted}
spec:
  deployer: {address: 10.76.0.1}
  networks:
    nodes: {cidr: 10.76.0.0/24, gateway: 10.76.0.1, dhcp: {pool: 10.76.0.192/26}}
    bmc: {cidr: 10.77.0.0/24}
  profiles:
    uefi:
      bmc: {kind: redfish, secret: bmc/trusted}
      attest: {way: tpm}
      lab: {kind: vm, cpus: 1, memory: 1GiB, disk: 8GiB, tpm: true}
    bios:
      bmc: {kind: redfish, secret: bmc/trusted}
      attest: {way: tpm}
      firmware: bios
      lab: {kind: vm, cpus: 1, memory: 1GiB, disk: 8GiB, tpm: true}
  racks:
    r1:
      hosts:
        - {name: new, profile: uefi, serial: TPM1, nics: [{mac: '52:54:00:76:00:11'}], address: 10.76.0.11,
           bmc: {address: 10.77.0.11}, disk: {serial: TPMDISK1}}
        - {name: old, profile: bios, serial: TPM2, nics: [{mac: '52:54:00:76:00:12'}], address: 10.76.0.12,
           bmc: {address: 10.77.0.12}, disk: {serial: TPMDISK2}}
"""
HOSTS = ("new", "old")


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("trusted")
    file = place / "dc" / "dc.yml"
    file.parent.mkdir()
    file.write_text(DC)
    with running("trusted", str(file), place) as lab:
        yield lab


def test_machines_prove_themselves_by_their_tpms(lab: Lab) -> None:
    """UEFI by CRB and BIOS by TIS: what the console and the boot service were shown is one key; once accepted, the same
    machine claims with a proof, and its quote has what firmware and kernel measured.
    """
    lab.bmk("provision", "--yes", code=None)
    rows = {row["host"]: row for row in json.loads(lab.bmk("tpm list", "-o", "json"))}
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(HOSTS, "presented")
    for name in HOSTS:
        assert f"its TPM has the endorsement key {rows[name]['ek']}" in _console(lab, name)
        lab.bmk("tpm accept", name, "--ek", rows[name]["ek"])
    provision = lab.start("provision", "--yes")
    try:
        measured = {name: _until(lambda name=name: lab.journal.facts(name).get(RECORD), lab, name) for name in HOSTS}
    finally:
        provision.kill()
        provision.wait()
    for name in HOSTS:
        grant = grants.latest(lab.journal, name)
        assert grant is not None
        assert (grant.attest, measured[name]["grant"]) == ("tpm", grant.id)
        assert grant.claimed
        assert measured[name]["ek"] == rows[name]["ek"]
    for number in ("0", "4"):  # firmware, and what it booted
        assert measured["new"]["pcrs"][number] not in UNTOUCHED, number
    assert measured["new"]["pcrs"]["9"] == _of_command_line(_console(lab, "new"))


def _of_command_line(console: str) -> str:
    """The register that holds the kernel's newest command line and nothing else, as its EFI stub measures it."""
    line = re.findall(r"Command line: ([^\r\n]*)", console)[-1]
    event = hashlib.sha256(f"{line}\0".encode("utf-16-le")).digest()
    return hashlib.sha256(bytes(32) + event).hexdigest()


def _console(lab: Lab, name: str) -> str:
    return (lab.state / lab.name / "lab/machines" / name / "console.log").read_text(errors="replace")


def _until(look: Callable[[], Any], lab: Lab, name: str) -> Any:
    end = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < end, _console(lab, name)[-3000:]
        time.sleep(1)
    return found
