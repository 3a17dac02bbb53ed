"""Nodes of a cluster as network namespaces on one bridge, each with the daemons that a role configures."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Wire:
    """A bridge in a namespace of its own; `node` adds a machine to it."""

    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    machines: dict[str, int] = field(default_factory=dict)
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    cables: int = 0

    def __post_init__(self) -> None:
        self.hub = self._namespace()
        self._run(self.hub, "ip link add hub type bridge; ip link set hub up")

    def node(self, name: str, address: str) -> None:
        """A machine with one NIC, eth0."""
        pid, port = self._namespace(), f"p{len(self.machines)}"
        self._run(self.hub, f"ip link add {port} type veth peer name eth0 netns /proc/{pid}/ns/net")
        self._run(self.hub, f"ip link set {port} master hub up")
        self.machines[name] = pid
        self.on(name, f"ip addr add {address}/24 dev eth0; ip link set eth0 up")

    def cable(self, one: tuple[str, str], other: tuple[str, str], mask: int = 24) -> None:
        """A line between two machines, (name, address) each; a machine that is not there yet is made."""
        for name in (one[0], other[0]):
            self.machines[name] = self.machines.get(name) or self._namespace()
        number = self.cables = self.cables + 1
        pid = self.machines[other[0]]
        self.on(one[0], f"ip link add line{number} type veth peer name line{number} netns /proc/{pid}/ns/net")
        for name, address in (one, other):
            self.on(name, f"ip addr add {address}/{mask} dev line{number}; ip link set line{number} up")

    def on(self, name: str, script: str, check: bool = True) -> str:
        """Output of a shell script on a machine."""
        return self._run(self.machines[name], script, check)

    def start(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """A daemon on a machine, until the test is over; its output is in NAME.PROGRAM.log."""
        with (self.directory / f"{name}.{Path(argv[0]).name}.log").open("ab") as log:
            command = ["nsenter", "-t", str(self.machines[name]), "-n", "-m", *argv]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.processes[-1]

    def close(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait(10)

    def _namespace(self) -> int:
        script = "ip link set lo up; mount -t tmpfs tmpfs /run; echo; exec sleep 3600"
        process = subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", script], stdout=subprocess.PIPE)
        self.processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process.pid

    def _run(self, pid: int, script: str, check: bool = True) -> str:
        argv = ["nsenter", "-t", str(pid), "-n", "-m", "sh", "-c", script]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """Gone with the test."""
    made = Wire(tmp_path)
    try:
        yield made
    finally:
        made.close()


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Poll; a failure says what did not happen."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
