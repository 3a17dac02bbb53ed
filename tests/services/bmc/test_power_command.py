"""`bmk power` as it is typed, against the real Redfish emulator: read back, many at once, never another machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DC, Lab

HOSTS = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: %s}
spec:
  deployer: {address: 10.77.0.1}
  networks:
    nodes: {cidr: 10.77.0.0/24, dhcp: {pool: 10.77.0.192/26}}
    bmc: {cidr: 10.78.0.0/24}
  profiles:
    box: {bmc: {kind: redfish, secret: bmc/lab, authorities: bmc.pem}, firmware: uefi, disk: {size: ">=1GB"}}
  racks:
    r1:
      hosts:
        - {name: cp-1, profile: box, serial: LAB0011, nics: [{mac: "52:54:00:77:00:0b"}], address: 10.77.0.11, bmc: {address: 10.78.0.11}}
        - {name: cp-2, profile: box, serial: LAB0012, nics: [{mac: "52:54:00:77:00:0c"}], address: 10.77.0.12, bmc: {address: 10.78.0.12}}
"""  # noqa: E501 - one host a line


@pytest.fixture
def dc(redfish: Lab, tmp_path: Path) -> str:
    """Two machines without a cluster, as a file, and the authority of their BMCs beside it."""
    shutil.copy(redfish.state / "lab" / "bmc.pem", tmp_path)
    (tmp_path / "dc.yml").write_text(HOSTS % DC)
    return str(tmp_path / "dc.yml")


def power(*args: str) -> tuple[int, dict[str, dict], str]:
    """Exit code, rows by host, stderr."""
    command = [sys.executable, "-m", "bmk", "power", *args, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    rows = json.loads(done.stdout) if done.stdout else []
    return done.returncode, {row["host"]: row for row in rows}, done.stderr


def test_machines_are_switched_and_asked_again(redfish: Lab, dc: str) -> None:
    """on, status and off do what they say, and report what the BMC says afterwards."""
    code, rows, _ = power("on", dc, "cp-1", "cp-2")
    assert (code, {h: r["power"] for h, r in rows.items()}) == (0, {"cp-1": "on", "cp-2": "on"})
    assert power("off", dc, "cp-2")[0] == 0
    _, rows, _ = power("status", dc)
    assert {h: r["power"] for h, r in rows.items()} == {"cp-1": "on", "cp-2": "off"}


def test_another_machine_is_never_switched(redfish: Lab, dc: str) -> None:
    """A BMC that belongs to another machine is told about and left alone; the others are done: exit code 4."""
    redfish.break_("cp-1", "bmc-wrong-serial")
    code, rows, err = power("on", dc, "cp-1", "cp-2")
    assert code == 4
    assert "another machine" in rows["cp-1"]["problem"]
    assert (redfish["cp-1"]["power"], rows["cp-2"]["power"]) == ("off", "on")
    assert "cp-1" in err
