"""The whole order of an install over real HTTP, on machines whose disk is a directory."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.boot.agent import AgentError, Disk, Facts, install
from bmk.boot.agent.directory import DirectoryHardware
from bmk.boot.agent.model import Finding
from bmk.boot.agent.service import Service
from bmk.boot.agent.simulated import SimulatedHardware
from tests.services.agent.boot_server import BootServer, spec_for

pytestmark = pytest.mark.services
LVM = Finding("/dev/vda2", "LVM physical volume", foreign=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BootServer]:
    image = tmp_path / "image.zst"
    image.write_bytes(b"x" * 1000)
    running = BootServer(image, {})
    running.spec = spec_for(image, running.url(), authorized_keys=["ssh-ed25519 AAAA deployer"])
    yield running
    running.close()


def facts(**changes: Any) -> Facts:
    disk = Disk("vda", "/dev/vda", 10**10, "DISK-1", findings=changes.pop("findings", ()))
    return Facts("u-1", "SN-1", changes.pop("macs", ("52:54:00:00:00:01",)), (disk,), "bios")


def test_a_directory_becomes_the_host(server: BootServer, tmp_path: Path) -> None:
    """Name, network by MAC, the deployer's key and new host keys are there, and the proof spends the grant."""
    root, restarted = tmp_path / "root", []
    hardware = DirectoryHardware(root, facts(), restarted=lambda: restarted.append(True))
    install(server.url(), "g", hardware)
    assert (root / "etc/hostname").read_text() == "node-1\n"
    assert "MACAddress=52:54:00:00:00:01" in (root / "etc/systemd/network/10-lan0.network").read_text()
    assert (root / "root/.ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA deployer\n"
    key = root / "etc/ssh/ssh_host_ed25519_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
    assert public.split()[:2] == server.said["done"]["host_keys"][0].split()[:2]
    assert server.said["claim"]["disks"][0]["serial"] == "DISK-1"
    assert server.said["done"]["image_sha256"] == server.spec["image"]["sha256"]
    assert restarted == [True]


def test_a_second_install_has_other_keys(server: BootServer, tmp_path: Path) -> None:
    """Nothing of an earlier attempt stays."""
    hardware = DirectoryHardware(tmp_path / "root", facts())
    first = install(server.url(), "g", hardware).host_keys
    (tmp_path / "root/etc/leftover").write_text("x")
    second = install(server.url(), "g", hardware).host_keys
    assert not set(first) & set(second)
    assert not (tmp_path / "root/etc/leftover").exists()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"findings": (LVM,)}, "disk DISK-1 holds data that bmk did not write, so it was left alone"),
        ({"macs": ("52:54:00:00:00:09",)}, "this is not node-1: it has no NIC 52:54:00:00:00:01"),
    ],
)
def test_a_refusal_is_reported_and_writes_nothing(
    server: BootServer, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    """What, why and hint reach the service, the console says it too, and the disk is as it was."""
    console: list[str] = []
    hardware = DirectoryHardware(tmp_path / "root", facts(**changes), say=console.append)
    with pytest.raises(AgentError):
        install(server.url(), "g", hardware)
    assert server.said["failed"]["what"] == what
    assert server.said["failed"]["why"]
    assert any(line.startswith(f"FAILED: {what}") for line in console)
    assert not (tmp_path / "root").exists()
    assert "done" not in server.said


def test_confirmed_data_is_overwritten(server: BootServer, tmp_path: Path) -> None:
    """A confirmation that names the disk is the permission."""
    server.spec["confirmed"] = "DISK-1"
    install(server.url(), "g", DirectoryHardware(tmp_path / "root", facts(findings=(LVM,))))
    assert "done" in server.said


def test_a_refused_claim_says_why(server: BootServer) -> None:
    """The service's reason and hint are what the console shows; nothing else is asked."""
    server.refuse_claim = "the serial is not node-1's"
    with pytest.raises(AgentError, match="refused the claim") as refused:
        install(server.url(), "g", SimulatedHardware(facts()))
    assert refused.value.why == "the serial is not node-1's"
    assert list(server.said) == []


def test_a_service_that_is_away_is_asked_again_and_again() -> None:
    """A limited number of times, longer and longer apart, ending in what was tried."""
    pauses: list[float] = []
    service = Service("http://127.0.0.1:9", "g", pause=pauses.append)
    with pytest.raises(AgentError, match="did not take the claim") as away:
        install("http://127.0.0.1:9", "g", SimulatedHardware(facts()), service)
    assert away.value.retry
    assert pauses == sorted(pauses)
    assert 60 < sum(pauses) < 600


def test_a_simulated_machine_goes_the_same_way(server: BootServer) -> None:
    """It claims, reports and restarts as any other."""
    machine = SimulatedHardware(facts())
    report = install(server.url(), "g", machine)
    assert machine.restarts == 1
    assert server.said["done"] == report.said()
    assert [event["kind"] for event in server.events][:2] == ["image.started", "image.progress"]
