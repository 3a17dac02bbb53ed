"""A lab of one's own: started by the real command, in a state directory of the test, and gone at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {{name: {name}}}
spec:
  deployer: {{address: 10.61.0.1}}
  networks:
    nodes: {{cidr: 10.61.0.0/24, gateway: 10.61.0.1}}
    bmc: {{cidr: 10.62.0.0/24}}
  profiles:
    vm:
      bmc: {{kind: redfish, secret: bmc/test}}
      firmware: bios
      lab: {{kind: vm, cpus: 1, memory: 256MiB, disk: 1GiB}}
    vm-ipmi:
      bmc: {{kind: ipmi, secret: bmc/test}}
      firmware: bios
      lab: {{kind: vm, cpus: 1, memory: 256MiB, disk: 1GiB}}
  racks:
    r1:
      hosts:
        - name: one
          profile: vm
          serial: ONE
          nics: [{{mac: "52:54:00:61:00:01"}}]
          address: 10.61.0.11
          bmc: {{address: 10.62.0.11}}
          disk: {{serial: DISKONE}}
        - name: two
          profile: vm-ipmi
          serial: TWO
          nics: [{{mac: "52:54:00:61:00:02"}}]
          address: 10.61.0.12
          bmc: {{address: 10.62.0.12}}
          disk: {{serial: DISKTWO}}
"""


@dataclass
class Lab:
    """A data center file and a state directory. `bmk()` runs the command as a user would."""

    name: str
    file: Path
    state: Path
    namespaces: set[str] = field(default_factory=set)
    path: str = os.environ["PATH"]

    @property
    def environment(self) -> dict[str, str]:
        places = {"BMK_STATE_DIR": str(self.state), "BMK_CACHE_DIR": str(self.state / "cache"), "PATH": self.path}
        return {**os.environ, **places}

    @property
    def directory(self) -> Path:
        return self.state / self.name / "lab"

    def bmk(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bmk", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def python(self, code: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a few lines of Python against this lab's state."""
        command = [sys.executable, "-c", code]
        more = {"env": self.environment, "capture_output": True, "text": True, "timeout": 120, **more}
        return subprocess.run(command, check=bool(more.pop("check", False)), **more)

    def up(self) -> None:
        self.bmk("lab", "up", str(self.file))
        pid = json.loads((self.directory / "supervisor.json").read_text())["pid"]
        self.namespaces.add(str(Path(f"/proc/{pid}/ns/pid").readlink()))

    def down(self) -> None:
        self.bmk("lab", "down", str(self.file))

    def processes(self) -> list[int]:
        """Living processes of this lab, by their environment or PID namespace: nginx overwrites its environment."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = path.read_bytes().split(b"\0")
                namespace = str((path.parent / "ns/pid").readlink())
            except OSError:
                continue
            if f"BMK_STATE_DIR={self.state}".encode() in environment or namespace in self.namespaces:
                found.append(int(path.parent.name))
        return found


def name_of(pid: int) -> str:
    """What a process calls itself; "": it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    except OSError:
        return ""


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.02)


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[[str], Lab]]:
    """Makes labs that are down; all of them are down again afterwards."""
    made: list[Lab] = []

    def make(directory: str, name: str = "testlab") -> Lab:
        file = tmp_path / directory / "dc.yml"
        file.parent.mkdir()
        file.write_text(FILE.format(name=name))
        made.append(Lab(name, file, tmp_path / directory / "state"))
        return made[-1]

    yield make
    for lab in made:
        lab.bmk("lab", "down", str(lab.file), check=False)


@pytest.fixture
def lab(make_lab: Callable[[str], Lab]) -> Lab:
    """A lab that is up."""
    lab = make_lab("a")
    lab.up()
    return lab
