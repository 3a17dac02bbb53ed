"""A room where hosts of each way are being installed and stand still, and strangers that are faster than they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import Host
from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
WAYS = ("mailbox", "media", "console", "none")
OTHER_UUID = "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a6800ff"
PATIENCE = 600.0  # seconds for a machine to come to its claim, emulated, beside other tests


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it, or fail and say what did not happen."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Room:
    """The lab, with a `bmk provision` that waits for its machines."""

    lab: Lab
    hosts: dict[str, Host]

    def grant(self, way: str) -> Grant:
        """The newest one of a host."""
        grant = grants.latest(self.lab.journal, f"by-{way}")
        assert grant is not None
        return grant

    def told(self, way: str, kind: str) -> list[str]:
        """Texts of what the journal holds of a host."""
        return [event.text for event in self.lab.journal.since(host=f"by-{way}", kind=kind)]

    def machine(self, way: str) -> int:
        """The process of the real machine."""
        there = str(self.lab.state / self.lab.name / f"lab/machines/by-{way}")
        for path in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):  # it ended just now
                if str(path.readlink()) == there:
                    return int(path.parent.name)
        raise AssertionError(f"by-{way} is off")

    def stand_still(self, way: str) -> None:
        """From power-on, before its firmware asks the network anything."""
        console = self.lab.state / self.lab.name / f"lab/machines/by-{way}/console.log"
        until(lambda: console.exists() and b"SeaBIOS" in console.read_bytes(), f"by-{way} is switched on")
        os.kill(self.machine(way), signal.SIGSTOP)

    def go_on(self, way: str) -> None:
        os.kill(self.machine(way), signal.SIGCONT)

    @property
    def log(self) -> Path:
        """Of nginx."""
        return self.lab.state / self.lab.name / "boot/nginx-access.log"

    def why(self, way: str) -> str:
        """What `bmk why` prints, without its line breaks."""
        return " ".join(self.lab.bmk("why", f"by-{way}", code=None, seconds=120).split())


@dataclass(frozen=True)
class Stranger:
    """A machine with the MAC of a host, switched on when the boot server had logged `came` bytes."""

    room: Room
    way: str
    directory: Path
    came: int
    process: subprocess.Popen[bytes]

    def answered(self) -> dict[str, int]:
        """What the boot server answered the host's address since then: last part of the path -> status."""
        lines = self.room.log.read_bytes()[self.came :].decode().splitlines()
        rows = (line.split() for line in lines if f" {self.room.hosts[self.way].address} " in line)
        return {row[3].partition("?")[0].rpartition("/")[2]: int(row[5]) for row in rows}

    def says(self, text: str) -> None:
        """Wait for something on its console."""
        console = self.directory / "console.log"
        self._until(lambda: console.exists() and text in console.read_text(errors="replace"), f"says {text!r}")

    def claims(self) -> dict[str, int]:
        """What it was answered up to its claim, which is waited for."""
        self._until(lambda: "claim" in self.answered(), "claims")
        return self.answered()

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        def as_long_as_it_lives() -> bool:
            assert self.process.poll() is None, (self.directory / "stranger.log").read_text()
            return condition()

        until(as_long_as_it_lives, f"the stranger {what}; see {self.directory}")


@contextmanager
def stranger(room: Room, way: str, directory: Path, *, knows: bool, guess: bytes = b"") -> Iterator[Stranger]:
    """Plugged in and switched on in the place of a host; with `knows` it has UUID and serial, too."""
    host = room.hosts[way]
    directory.mkdir()
    identity = (host.uuid, host.serial) if knows else (OTHER_UUID, "STRANGER")
    case = {"dc": room.lab.dc, "host": host.name, "uuid": identity[0], "serial": identity[1]}
    case |= {"guess": guess.hex(), "directory": str(directory)}
    command = room.lab.entered(sys.executable, "-m", "tests.machines.rogue.stranger", json.dumps(case))
    came = room.log.stat().st_size if room.log.exists() else 0
    with (directory / "stranger.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=REPOSITORY)
    try:
        yield Stranger(room, way, directory, came, process)
    finally:
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """All hosts are granted and switched on by a real `bmk provision`, and none has asked what to boot."""
    with running("rogue", str(HERE / "dc.yml"), tmp_path_factory.mktemp("rogue"), own_cache=True) as lab:
        lab.bmk("lab up")
        hosts = load_datacenter(HERE).hosts
        room = Room(lab, {way: hosts[f"by-{way}"] for way in WAYS})
        provision = lab.start("provision", "--yes")
        try:
            for way in WAYS:
                room.stand_still(way)
            yield room
        finally:
            provision.terminate()
            provision.wait(60)
