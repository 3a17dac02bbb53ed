"""`bmk power` as it is typed, against the real Redfish emulator: read back, many at once, never another machine."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from bmk.bmc.https import fingerprint_of

from .conftest import DC, Lab
from .hostile import SYSTEM, serving

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
    """Two machines without a cluster, as a file, and the authority of their BMCs beside it. One state, one file."""
    shutil.copy(redfish.state / "lab" / "bmc.pem", tmp_path)
    place = redfish.state / "file-of-the-test"
    place.mkdir(exist_ok=True)
    shutil.copy(redfish.state / "lab" / "bmc.pem", place)
    (place / "dc.yml").write_text(HOSTS % DC)
    return str(place / "dc.yml")


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


def test_systems_are_asked_to_end(redfish: Lab, dc: str) -> None:
    """shutdown leaves a machine off, restart leaves it on; both press the button."""
    power("on", dc, "cp-1", "cp-2")
    assert power("shutdown", dc, "cp-1")[1]["cp-1"]["power"] == "off"
    assert power("restart", dc, "cp-2")[1]["cp-2"]["power"] == "on"
    for name in ("cp-1", "cp-2"):
        assert f"{name}: power press" in Path(redfish[name]["console"]).read_text()


def test_another_machine_is_never_switched(redfish: Lab, dc: str) -> None:
    """A BMC that belongs to another machine is told about and left alone; the others are done: exit code 4."""
    redfish.break_("cp-1", "bmc-wrong-serial")
    code, rows, err = power("on", dc, "cp-1", "cp-2")
    assert code == 4
    assert "another machine" in rows["cp-1"]["problem"]
    assert (redfish["cp-1"]["power"], rows["cp-2"]["power"]) == ("off", "on")
    assert "cp-1" in err


def test_one_odd_bmc_is_the_trouble_of_its_host(redfish: Lab, dc: str, tmp_path: Path) -> None:
    """A BMC whose documents are nonsense is a cell of its row: the others are told as ever. Exit code 4."""
    with serving(tmp_path / "odd", "10.78.0.31") as odd:
        odd.pages[SYSTEM] = (200, {}, b"<html>")
        text = Path(dc).read_text()
        plate = f"{{kind: redfish, secret: bmc/lab, port: {odd.port}, tls: pin}}"
        profile = f"    odd: {{bmc: {plate}, disk: {{size: '>=1GB'}}}}\n"
        host = (
            "        - {name: odd-1, profile: odd, serial: X, nics: [{mac: '52:54:00:77:00:1f'}], address: 10.77.0.31, "
            f"bmc: {{address: 10.78.0.31, fingerprint: '{odd.fingerprint}'}}}}\n"
        )
        Path(dc).write_text(text.replace("  racks:\n", f"{profile}  racks:\n") + host)
        code, rows, _ = power("status", dc)
    assert code == 4
    assert (rows["cp-1"]["problem"], rows["cp-2"]["power"]) == (None, "off")
    assert "did not report its power state" in rows["odd-1"]["problem"]


def test_fingerprints_are_shown_and_compared(redfish: Lab, dc: str, tmp_path: Path) -> None:
    """What BMCs show comes out without a login; one that is not the pinned one is exit code 2."""
    argv = [sys.executable, "-m", "bmk", "fingerprint", dc, "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    shown = {row["host"]: row for row in json.loads(done.stdout)}
    assert (done.returncode, shown["cp-1"]["file"]) == (0, "trusts an authority")
    pem = (tmp_path / "bmc.pem").read_text()
    assert shown["cp-1"]["fingerprint"] == fingerprint_of(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :]))
    pinned = Path(dc).read_text().replace("authorities: bmc.pem", "tls: pin")
    wrong = pinned.replace("{address: 10.78.0.11}", f"{{address: 10.78.0.11, fingerprint: 'sha256:{'0' * 64}'}}")
    Path(dc).write_text(wrong)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    standing = {row["host"]: row["file"] for row in json.loads(done.stdout)}
    assert (done.returncode, standing) == (2, {"cp-1": "pins another", "cp-2": "not pinned"})
