"""A lab with two system containers, installed already and switched on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bmk.lab.host import cgroups, rootfs

FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: boxes}
spec:
  deployer: {address: 10.63.0.1}
  networks:
    nodes: {cidr: 10.63.0.0/24, gateway: 10.63.0.1}
    bmc: {cidr: 10.64.0.0/24}
  profiles:
    box:
      bmc: {kind: redfish, secret: bmc/boxes}
      lab: {kind: container}
  racks:
    r1:
      hosts:
        - {name: one, profile: box, serial: BOX1, nics: [{mac: "52:54:00:63:00:01"}], address: 10.63.0.11,
           bmc: {address: 10.64.0.11}, disk: {serial: BOXDISK1}}
        - {name: two, profile: box, serial: BOX2, nics: [{mac: "52:54:00:63:00:02"}], address: 10.63.0.12,
           bmc: {address: 10.64.0.12}, disk: {serial: BOXDISK2}}
"""
ADDRESS = {"one": "10.63.0.11", "two": "10.63.0.12"}


@dataclass
class Boxes:
    """The lab, by the commands that a user types."""

    file: Path
    state: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {**os.environ, "BMK_STATE_DIR": str(self.state)}

    def bmk(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "bmk", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def request(self, op: str, **arguments: object) -> dict[str, object]:
        code = "import json, sys; from bmk.lab.client import request; a = json.loads(sys.argv[1]); "
        code += "print(json.dumps(request('boxes', a.pop('op'), **a)))"
        command = [sys.executable, "-c", code, json.dumps({"op": op, **arguments})]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    @property
    def supervisor(self) -> int:
        return int(json.loads((self.state / "boxes/lab/supervisor.json").read_text())["pid"])

    def ssh(self, host: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host as the deployer, with the host's pinned key."""
        keys = self.state / "boxes"
        options = [f"UserKnownHostsFile={keys}/known_hosts", "StrictHostKeyChecking=yes"]
        options += ["ConnectTimeout=5", "BatchMode=yes"]
        line = ["nsenter", "--target", str(self.supervisor), "--net", "ssh", "-i", f"{keys}/ssh/id_ed25519"]
        line += [w for option in options for w in ("-o", option)] + [f"root@{ADDRESS[host]}", command]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    def wait_ssh(self, host: str) -> None:
        eventually(lambda: self.ssh(host, "true").returncode == 0, 90)

    def machine(self, host: str) -> dict[str, object]:
        machines = self.request("list")["machines"]
        assert isinstance(machines, list)
        return next(m for m in machines if m["name"] == host)

    def console(self, host: str) -> str:
        return (self.state / "boxes/lab/machines" / host / "console.log").read_text(errors="replace")

    def leftovers(self) -> list[Path]:
        """Control groups of this lab that are still there."""
        return [group for parent in cgroups.find().parents for group in parent.glob("bmk-boxes-*")]


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    """Both containers are on and answer ssh. Tests of a module share them."""
    if os.geteuid() != 0:
        pytest.skip("system containers need root")
    rootfs.base_root()
    directory = tmp_path_factory.mktemp("boxes")
    (directory / "dc.yml").write_text(FILE)
    lab = Boxes(directory / "dc.yml", directory / "state")
    try:
        lab.bmk("lab", "up", str(lab.file))
        lab.bmk("lab", "preseed", str(lab.file))
        for host in ADDRESS:
            lab.wait_ssh(host)
        yield lab
    finally:
        lab.bmk("lab", "down", str(lab.file))
