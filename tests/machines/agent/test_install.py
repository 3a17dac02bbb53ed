"""The real ramdisk on virtual machines: what it installs boots, and what it refuses stays as it was."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bmk.artifacts.mirror import open_mirror
from bmk.lab.faults import ODD_ENTRY, OF_A_CSM
from bmk.lab.machines import nvram
from tests.services.agent.boot_server import BootServer, spec_for

pytestmark = pytest.mark.machines
MAC = "52:54:00:00:00:01"
GIB = 1 << 30
FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
DEADLINE = 900  # seconds; a machine under emulation beside other tests


@dataclass
class Room:
    """One virtual machine, one deployer's key, one boot server; QEMU's own user network between them."""

    place: Path
    server: BootServer
    firmware: str
    files: dict[str, Path]
    disk: Path
    sector: int = 512  # bytes
    port: int = 0
    running: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> Path:
        return self.place / "key"

    def start(self, *extra: str, console: str) -> subprocess.Popen[bytes]:
        self.port = _free_port()
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        command += ["-m", "2048", "-display", "none", "-no-reboot", "-serial", f"file:{self.place / console}"]
        command += ["-smbios", "type=1,serial=SN-1,uuid=11111111-2222-3333-4444-555555555555"]
        command += ["-drive", f"file={self.disk},format=raw,if=none,id=d0"]
        sectors = f"logical_block_size={self.sector},physical_block_size={self.sector}"
        command += ["-device", f"virtio-blk-pci,drive=d0,serial=DISK-1,{sectors}"]
        command += ["-nic", f"user,model=virtio-net-pci,mac={MAC},hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        self.running = subprocess.Popen([*command, *self._firmware(), *extra])
        return self.running

    def install(self) -> subprocess.Popen[bytes]:
        """Boot the ramdisk as iPXE would, with the grant on its command line."""
        line = f"bmk.url={self.server.url('10.0.2.2')} bmk.grant=g bmk.attest=none console=ttyS0,115200 console=tty0"
        kernel, initrd = self.files["install-kernel"], self.files["install-initrd"]
        return self.start("-kernel", str(kernel), "-initrd", str(initrd), "-append", line, console="install.log")

    def ssh(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        words = ["ssh", "-i", str(self.key), "-p", str(self.port), "-o", "ConnectTimeout=20", "-o", "BatchMode=yes"]
        return subprocess.run(
            [*words, *options, "root@127.0.0.1", command], capture_output=True, text=True, check=False
        )

    def stop(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait()

    def _firmware(self) -> list[str]:
        if self.firmware == "bios":
            return []
        variables = self.place / "vars.fd"
        if not variables.exists():
            variables.write_bytes(nvram.added(FIRMWARE[1].read_bytes(), nvram.GLOBAL, ODD_ENTRY, OF_A_CSM))
        code = f"if=pflash,format=raw,readonly=on,file={FIRMWARE[0]}"
        return ["-drive", code, "-drive", f"if=pflash,format=raw,file={variables}"]


@pytest.fixture
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    mirror = open_mirror()
    files = {name: mirror.file(name).local for name in ("node-image", "install-kernel", "install-initrd")}
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(6 * GIB)
    server = BootServer(files["node-image"], {})
    keys = [(tmp_path / "key.pub").read_text().strip()]
    server.spec = spec_for(files["node-image"], server.url("10.0.2.2"), authorized_keys=keys)
    firmware, _, sectors = getattr(request, "param", "bios").partition("-")
    made = Room(tmp_path, server, firmware, files, disk, 4096 if sectors == "4kn" else 512)
    yield made
    made.stop()
    server.close()
    disk.unlink()


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(1)
    raise AssertionError(f"{what} did not happen in {DEADLINE} s")


@pytest.mark.parametrize("room", ["bios", "uefi", "uefi-4kn"], indirect=True)
def test_an_installed_machine_boots_its_disk_as_the_host_it_was_made(room: Room) -> None:
    """From an empty disk to ssh under the host keys that the agent reported, in both firmwares and with both sizes of
    sectors. The UEFI has a boot entry whose text is in nobody's encoding.
    """
    ramdisk = room.install()
    assert room.server.ended.wait(DEADLINE), (room.place / "install.log").read_text(errors="replace")[-3000:]
    report = room.server.said.get("done")
    assert report, room.server.said.get("failed")
    assert report["disk_serial"] == "DISK-1"
    assert ramdisk.wait(120) == 0  # it restarted by itself; -no-reboot makes that the end

    room.start(console="boot.log")
    known = room.place / "known_hosts"
    known.write_text("".join(f"[127.0.0.1]:{room.port} {key}\n" for key in report["host_keys"]))
    strict = ("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}")
    until(lambda: room.ssh("true", *strict).returncode == 0, "ssh with the reported host keys")
    look = "hostname; df --output=size / | tail -1; cat /etc/fstab /proc/cmdline; cat /sys/class/net/lan0/address"
    seen = room.ssh(look, *strict).stdout
    assert seen.startswith("node-1\n")
    assert int(re.search(r"^\s*(\d+)$", seen, re.MULTILINE)[1]) > 5 * 10**6  # type: ignore[index]  # KiB
    assert MAC in seen
    root = re.search(r"^UUID=(\S+) / ", seen, re.MULTILINE)
    assert root
    assert f"root=UUID={root[1]}" in seen
    state = room.ssh("systemctl is-system-running --wait; systemctl --failed --no-legend", *strict).stdout
    assert state.strip() == "running"
    seen = room.ssh("cat /sys/block/vda/queue/logical_block_size; ls /boot/efi/EFI/BOOT", *strict).stdout.split()
    assert seen[:2] == [str(room.sector), "BOOTX64.EFI"]
    if room.firmware == "uefi":
        assert report["boot_order"][0] == "bmk"


@pytest.mark.parametrize("room", ["bios-4kn"], indirect=True)
def test_a_disk_that_could_not_boot_is_left_alone(room: Room) -> None:
    """BIOS reads sectors of 512 bytes only: refused with what to change, and nothing is written."""
    room.disk.write_bytes(b"precious")
    with room.disk.open("r+b") as file:
        file.truncate(6 * GIB)
    before = _digest(room.disk)
    room.install()
    assert room.server.ended.wait(DEADLINE), (room.place / "install.log").read_text(errors="replace")[-3000:]
    failed = room.server.said["failed"]
    assert failed["what"] == "disk DISK-1 has sectors of 4096 bytes, from which this machine cannot boot"
    assert failed["code"] == "sectors"
    room.stop()
    assert _digest(room.disk) == before


def test_a_live_etcd_is_found_on_the_disk_and_left_alone(room: Room) -> None:
    """A file system with an etcd inside refuses the wipe, says so, and the machine lets the deployer in for a look."""
    tree = room.place / "tree"
    (tree / "var/lib/etcd/member/wal").mkdir(parents=True)
    (tree / "var/lib/etcd/member/wal/0.wal").write_text("precious")
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, room.disk, "64M"], check=True)
    before = _digest(room.disk)
    room.install()
    assert room.server.ended.wait(DEADLINE), (room.place / "install.log").read_text(errors="replace")[-3000:]
    failed = room.server.said["failed"]
    assert failed["what"] == "disk DISK-1 holds data that bmk did not write, so it was left alone"
    assert "ext4 file system with etcd data on /dev/vda" in failed["why"]
    assert "--confirm node-1" in failed["hint"]
    assert room.server.said["claim"]["serial"] == "SN-1"
    loose = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    assert until(lambda: room.ssh("cat /etc/bmk-release", *loose).stdout, "ssh into the ramdisk")
    room.stop()
    assert _digest(room.disk) == before


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(256 << 20)).hexdigest()


def _free_port() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
