"""The whole order of an install over real HTTP, on machines whose disk is a directory."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.agent import AgentError, Disk, MachineFacts, Order, install
from bmk.agent.directory import DirectoryHardware
from bmk.agent.hardware import one_line
from bmk.agent.model import BootOrder, DiskContent
from bmk.agent.nonces.console import nonces_in
from bmk.agent.proof import ProofKey
from bmk.agent.service import BootService
from bmk.agent.simulated import SimulatedHardware
from tests.services.agent.boot_server import BootServer, spec_for

pytestmark = pytest.mark.services
LVM = DiskContent("/dev/vda2", "LVM physical volume", foreign=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BootServer]:
    image = tmp_path / "image.zst"
    image.write_bytes(b"x" * 1000)
    running = BootServer(image, {})
    running.spec = spec_for(image, running.url(), authorized_keys=["ssh-ed25519 AAAA deployer"])
    yield running
    running.close()


def order(server: BootServer, attest: str = "none") -> Order:
    return Order(server.url(), "g", attest)


def facts(**changes: Any) -> MachineFacts:
    disk = Disk("vda", "/dev/vda", 10**10, "DISK-1", findings=changes.pop("findings", ()))
    return MachineFacts("u-1", "SN-1", changes.pop("macs", ("52:54:00:00:00:01",)), (disk,), "bios")


def test_a_directory_becomes_the_host(server: BootServer, tmp_path: Path) -> None:
    """Name, network by MAC, the deployer's key and new host keys are there, and the proof spends the grant."""
    root, restarted = tmp_path / "root", []
    hardware = DirectoryHardware(root, facts(), restarted=lambda: restarted.append(True))
    install(order(server), hardware)
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
    first = install(order(server), hardware).host_keys
    (tmp_path / "root/etc/leftover").write_text("x")
    second = install(order(server), hardware).host_keys
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
        install(order(server), hardware)
    assert server.said["failed"]["what"] == what
    assert server.said["failed"]["why"]
    assert any(line.startswith(f"FAILED: {what}") for line in console)
    assert not (tmp_path / "root").exists()
    assert "done" not in server.said


def test_confirmed_data_is_overwritten(server: BootServer, tmp_path: Path) -> None:
    """A confirmation that names the disk is the permission."""
    server.spec["confirmed"] = "DISK-1"
    install(order(server), DirectoryHardware(tmp_path / "root", facts(findings=(LVM,))))
    assert "done" in server.said


def test_a_refused_claim_says_why(server: BootServer) -> None:
    """The service's reason and hint are what the console shows; nothing else is asked."""
    server.refuse_claim = "the serial is not node-1's"
    with pytest.raises(AgentError, match="refused the claim") as refused:
        install(order(server), SimulatedHardware(facts()))
    assert refused.value.why == "the serial is not node-1's"
    assert list(server.said) == []


def test_a_service_that_is_away_is_asked_again_and_again() -> None:
    """A limited number of times, longer and longer apart, ending in what was tried."""
    pauses: list[float] = []
    nobody = Order("http://127.0.0.1:9", "g", "none")
    service = BootService(nobody, pause=pauses.append)
    with pytest.raises(AgentError, match="did not take the claim") as away:
        install(nobody, SimulatedHardware(facts()), service)
    assert away.value.retry
    assert pauses == sorted(pauses)
    assert 60 < sum(pauses) < 600


def test_a_simulated_machine_goes_the_same_way(server: BootServer) -> None:
    """It claims, reports and restarts as any other."""
    machine = SimulatedHardware(facts())
    report = install(order(server), machine)
    assert machine.restarts == 1
    assert server.said["done"] == report.said()
    assert [event["kind"] for event in server.events][:2] == ["image.started", "image.progress"]


def test_a_firmware_that_will_not_is_a_warning(server: BootServer) -> None:
    """NVRAM that is full costs the boot order: it is told as a warning, and the installation is proven all the same."""
    machine = SimulatedHardware(facts())
    machine.boot_from = lambda _: BootOrder(["UEFI PXE"], "No space left on device")  # type: ignore[method-assign]
    install(order(server), machine)
    warnings = [event["text"] for event in server.events if event["level"] == "warning"]
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]
    assert server.said["done"]["boot_order"] == ["UEFI PXE"]


NONCE = bytes(range(32))


def proven(server: BootServer) -> SimulatedHardware:
    """A server and a machine that share a secret."""
    server.key = ProofKey.derive(NONCE, "g")
    return SimulatedHardware(facts(), {"mailbox": NONCE})


def test_with_a_secret_every_request_and_answer_is_proven(server: BootServer) -> None:
    """Claim, events and report carry their proofs (the server refuses others), and its answers are believed."""
    machine = proven(server)
    report = install(order(server, "mailbox"), machine)
    assert server.said["done"] == report.said()
    assert server.events
    assert machine.restarts == 1


@pytest.mark.parametrize("attest", ["mailbox", "none", ""])
def test_a_changed_spec_writes_no_disk(server: BootServer, attest: str) -> None:
    """A man in the middle changes the spec on its way, and the command line too: nothing is written or reported."""
    machine = proven(server)
    wrote: list[str] = []
    machine.write = lambda *_: wrote.append("written")  # type: ignore[method-assign,assignment,func-returns-value]
    server.change = lambda body: body.replace(b"DISK-1", b"DISK-2")
    with pytest.raises(AgentError, match="was changed on its way"):
        install(order(server, attest), machine)
    assert wrote == []
    assert "done" not in server.said


def test_a_stranger_s_boot_service_is_not_believed(server: BootServer) -> None:
    """It answers every claim, and knows no secret: a machine that has one refuses the answer."""
    machine = proven(server)
    server.key = None
    with pytest.raises(AgentError, match="is not from this data center's boot service"):
        install(order(server, "none"), machine)


def test_a_machine_without_a_secret_asks_nobody(server: BootServer) -> None:
    """The profile demands a proof and nothing was left in its BMC: it claims nothing."""
    with pytest.raises(AgentError, match="no nonce was found"):
        install(order(server, "media"), SimulatedHardware(facts()))
    assert server.said == {}


def test_by_console_the_secret_is_said_until_the_service_knows_it(server: BootServer, tmp_path: Path) -> None:
    """One line before each try, the same nonce each time, and never sent; what it proves is accepted."""
    printed: list[str] = []
    pauses: list[float] = []
    server.not_yet = 2

    asked = Order(server.url(), "0" * 32, "console")

    def read(text: str) -> None:
        printed.append(one_line(text))
        for nonce in nonces_in("".join(printed).encode(), asked.grant):
            server.key = ProofKey.derive(nonce, asked.grant)

    install(asked, DirectoryHardware(tmp_path / "root", facts(), say=read), BootService(asked, pause=pauses.append))
    assert sum("bmk: nonce " in line for line in printed) == 3
    assert len(nonces_in("".join(printed).encode(), asked.grant)) == 1
    assert server.said["done"]["host_keys"]
