"""A lab with two small virtual machines with blank disks: enough for firmware, boot order and consoles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.lab.client import request
from bmk.lab.lifecycle import bring_up, take_down

FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: firmware}
spec:
  deployer: {address: 10.65.0.1}
  networks:
    nodes: {cidr: 10.65.0.0/24, gateway: 10.65.0.1, dhcp: {pool: 10.65.0.128/25}}
    bmc: {cidr: 10.66.0.0/24}
  profiles:
    bios:
      bmc: {kind: redfish, secret: bmc/firmware}
      firmware: bios
      lab: {kind: vm, cpus: 1, memory: 256MiB, disk: 1GiB}
    uefi:
      bmc: {kind: redfish, secret: bmc/firmware}
      firmware: uefi
      lab: {kind: vm, cpus: 1, memory: 512MiB, disk: 1GiB}
  racks:
    r1:
      hosts:
        - {name: old, profile: bios, serial: OLD1, nics: [{mac: "52:54:00:65:00:01"}], address: 10.65.0.11,
           bmc: {address: 10.66.0.11}, disk: {serial: OLDDISK}}
        - {name: new, profile: uefi, serial: NEW1, nics: [{mac: "52:54:00:65:00:02"}], address: 10.65.0.12,
           bmc: {address: 10.66.0.12}, disk: {serial: NEWDISK}}
"""
NAME = "firmware"


@dataclass
class Room:
    """The running lab of this test."""

    file: Path
    directory: Path

    def ask(self, op: str, machine: str, **arguments: Any) -> dict[str, Any]:
        return request(NAME, op, machine=machine, **arguments)

    def show(self, machine: str) -> dict[str, Any]:
        machines = request(NAME, "list")["machines"]
        return next(m for m in machines if m["name"] == machine)

    def console(self, machine: str) -> str:
        path = self.directory / "machines" / machine / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def hears(self, machine: str, text: str, times: int = 1, seconds: float = 240) -> None:
        """Wait until the console has said something so often."""
        eventually(lambda: self.console(machine).count(text) >= times, seconds, lambda: self.console(machine)[-2000:])


def eventually(condition: Callable[[], object], seconds: float, show: Callable[[], object] = lambda: "") -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {show()}"
        time.sleep(0.1)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A fresh lab, all machines off."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "dc.yml"
    file.write_text(FILE)
    dc = load_datacenter(file)
    bring_up(dc, str(file), lambda text: None)
    yield Room(file, tmp_path / "state" / NAME / "lab")
    take_down(dc, lambda text: None)
