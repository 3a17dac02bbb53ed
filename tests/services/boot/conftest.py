"""A network of its own for the real boot server, and machines on it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bmk.boot import grants, server
from bmk.boot.grants import Grant, GrantedImage, permission
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter, Host
from bmk.journal import Journal

HALL = Path(__file__).parents[2] / "unit" / "boot" / "hall"
OFFICE = Path(__file__).parent / "office"
RAW = "b" * 64  # what the image is said to unpack to


@dataclass
class Room:
    """A network namespace, held open by one process; everything started in it ends with the test."""

    flags: tuple[str, ...] = ("-n", "-m")
    within: Room | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        argv = ("unshare", *self.flags, "sh", "-c", "echo; exec sleep 3600")
        holder = subprocess.Popen(self.within._inside(argv) if self.within else argv, stdout=subprocess.PIPE)
        assert holder.stdout is not None
        holder.stdout.readline()
        self.started.append(holder)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self.started[0].pid

    def _inside(self, argv: Sequence[str]) -> list[str]:
        mapped = "-U" in (self.within or self).flags
        user = ["-U", "--preserve-credentials"] if mapped else []
        return ["nsenter", "-t", str(self.pid), *user, "-n", "-m", *argv]

    def run(self, *argv: str, check: bool = True, text: bytes | None = None) -> str:
        done = subprocess.run(self._inside(argv), capture_output=True, timeout=60, check=False, input=text)
        assert not check or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout.decode("utf-8", "replace")

    def start(self, *argv: str, log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            process = subprocess.Popen(self._inside(argv), stdout=out, stderr=out, env={**os.environ, **(env or {})})
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM if process is not self.started[0] else signal.SIGKILL)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> object:
    """The first true value of `condition`, or a failure that says what did not happen."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


@dataclass
class Boot:
    """The boot server of a data center, running from what `processes()` says, and the machines beside it."""

    dc: DataCenter
    room: Room
    state: Path
    mirror: Path
    journal: Journal
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    machines: list[Room] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.dc.spec.deployer.address)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.dc.spec.deployer.http_port}"

    def start(self, *names: str) -> None:
        """Start the named processes (none named: all but the registry) and wait until they answer."""
        names = names or ("boot-service", "nginx", "dnsmasq")
        for process in server.processes(self.dc, self.state, self.mirror, self.artifacts()):
            if process.name in names:
                server.write(process.files)
                log = self.state / f"{process.name}.out"
                self.running[process.name] = self.room.start(*process.argv, log=log, env=dict(process.env))
        until(self.answers, f"the boot server answers; see {self.state}")

    def answers(self) -> bool:
        ended = [name for name, process in self.running.items() if process.poll() is not None]
        assert not ended, (ended, [p.read_text()[-2000:] for p in self.state.rglob("*.out")])
        health = "ok" in self.room.run("curl", "-s", f"{self.url}/healthz", check=False)
        return health and ("dnsmasq" not in self.running or ":67" in self.room.run("ss", "-lun"))

    def artifacts(self) -> dict[str, dict[str, object]]:
        found = {}
        for path in sorted((self.mirror / "files").rglob("*")):
            if path.is_file():
                relative = path.relative_to(self.mirror / "files")
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                size = path.stat().st_size
                found[relative.parts[0]] = {"url": f"{self.url}/files/{relative}", "sha256": sha256, "size": size}
        return found

    def grant(self, host: str, lifetime: float = 600.0) -> Grant:
        image = GrantedImage("node-image", str(self.artifacts()["node-image"]["sha256"]), RAW)
        return grants.open_grant(self.journal, permission(self.dc.hosts[host], image), time.time(), lifetime)

    def machine(self, mac: str) -> Room:
        """A machine with one NIC on the bridge; it has no address until it asks for one."""
        made, number = Room(within=self.room), len(self.machines)
        self.machines.append(made)
        self.room.run("ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", f"nic{number}")
        self.room.run("ip", "link", "set", f"port{number}", "master", "bmk0", "up")
        self.room.run("ip", "link", "set", f"nic{number}", "netns", str(made.pid))
        made.run("ip", "link", "set", f"nic{number}", "name", "eth0", "address", mac)
        made.run("ip", "link", "set", "eth0", "up")
        return made

    def host(self, name: str) -> tuple[Host, Room]:
        """A host of the data center as a machine with its own address."""
        host = self.dc.hosts[name]
        made = self.machine(host.mac)
        made.run("ip", "addr", "add", f"{host.address}/{host.network.cidr.prefixlen}", "dev", "eth0")
        return host, made


def _boot(dc_dir: Path, state: Path, flags: tuple[str, ...]) -> Iterator[Boot]:
    dc, room = load_datacenter(str(dc_dir)), Room(flags)
    network = next(n for n in dc.spec.networks.values() if dc.spec.deployer.address in n.cidr)
    room.run("ip", "link", "add", "bmk0", "type", "bridge")
    room.run("ip", "addr", "add", f"{dc.spec.deployer.address}/{network.cidr.prefixlen}", "dev", "bmk0")
    room.run("ip", "link", "set", "bmk0", "up")
    for name, path in (("install-kernel", "vmlinuz"), ("install-initrd", "initrd.img"), ("node-image", "image.zst")):
        target = state / "mirror" / "files" / name / "1" / path
        target.parent.mkdir(parents=True)
        target.write_bytes(f"bytes of {name} ".encode() * 50_000)
    (state / "mirror" / "files" / "kubelet").mkdir()
    (state / "mirror" / "files" / "kubelet" / "kubelet").write_text("a file for nodes\n")
    (state / "ssh").mkdir()
    (state / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAAdeployer bmk\n")
    made = Boot(dc, room, state, state / "mirror", Journal.open(state))
    try:
        yield made
    finally:
        for machine in made.machines:
            machine.close()
        room.close()
        made.journal.close()


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """The boot server's room as root of this machine."""
    yield from _boot(HALL, tmp_path, ("-n", "-m"))


@pytest.fixture
def mapped_boot(tmp_path: Path) -> Iterator[Boot]:
    """The same where root is nobody outside: a user namespace with one user in it."""
    yield from _boot(HALL, tmp_path, ("-U", "-r", "-n", "-m"))


@pytest.fixture
def office_boot(tmp_path: Path) -> Iterator[Boot]:
    """A boot server on a network that has a DHCP server of its own."""
    yield from _boot(OFFICE, tmp_path, ("-n", "-m"))
