"""The real ramdisk in virtual machines of the lab reads what their BMCs were given, and goes on when one is silent."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmk.artifacts.mirror import open_mirror
from bmk.artifacts.node.cpio import File, write_cpio
from bmk.bmc import Access, open_bmc
from bmk.bmc.nonce_volume import volume
from bmk.datacenter.load import load_datacenter
from bmk.lab.bmc import ipmi
from bmk.lab.host.probe import why_no_kvm
from bmk.lab.machines import vm
from bmk.lab.machines.hardware import hardware_of
from bmk.lab.machines.machine import MEDIUM, Chassis
from bmk.secrets import Credentials, Secret, SecretStore, write_generated

pytestmark = pytest.mark.machines
DEADLINE = 300  # seconds until the ramdisk has looked, under emulation beside other tests
SECRET = bytes(range(60, 101))
USER, PASSWORD = "operator", "right-horse"

FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: nonces}
spec:
  deployer: {address: 10.67.0.1}
  networks:
    nodes: {cidr: 10.67.0.0/24, gateway: 10.67.0.1}
    bmc: {cidr: 127.67.0.0/24}
  profiles:
    uefi:
      bmc: {kind: redfish, secret: bmc/nonces}
      lab: {kind: vm, cpus: 1, memory: 768MiB, disk: 1GiB, tpm: true}
    bios:
      bmc: {kind: ipmi, port: 9623, secret: bmc/nonces}
      firmware: bios
      lab: {kind: vm, cpus: 1, memory: 768MiB, disk: 1GiB, tpm: true}
  racks:
    r1:
      hosts:
        - {name: redfish, profile: uefi, serial: N1, nics: [{mac: "52:54:00:67:00:01"}], address: 10.67.0.11,
           bmc: {address: 127.67.0.11}, disk: {serial: NDISK1}}
        - {name: ipmi, profile: bios, serial: N2, nics: [{mac: "52:54:00:67:00:02"}], address: 10.67.0.12,
           bmc: {address: 127.67.0.12}, disk: {serial: NDISK2}}
"""

# Instead of /init: drivers as it loads them, then what the agent reads, and the disks that it would choose from.
LOOK = """\
#!/bin/busybox sh
sed '/^say "install ramdisk/,$d' /init > /run-init && . /run-init
load_drivers
cat > /look.py <<END
import json, pathlib, time
from bmk.agent.nonces import mailbox, media
from bmk.agent.sysfs import disks
began = time.monotonic()
seen = {way: (read(10.0) or b"").hex() for way, read in (("mailbox", mailbox.read), ("media", media.read))}
seen["disks"] = [disk.serial for disk in disks(pathlib.Path("/sys"))]
seen["tpm"] = pathlib.Path("/dev/tpmrm0").exists()
print("\\nSEEN " + json.dumps(seen) + " END", flush=True)
END
PYTHONPATH=/usr/lib/bmk/agent.pyz python3 -S /look.py
poweroff -f
"""


class Place:
    """One machine without cables, its BMC, and the ramdisk instead of a boot from the network."""

    def __init__(self, root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "dc.yml").write_text(FILE)
        hardware = hardware_of(load_datacenter(root))[name]
        self.chassis = Chassis(replace(hardware, ports=()), root / "machine", lambda kind, text: None)
        self.chassis.directory.mkdir()
        self.chassis.backend = vm.VmBackend(self.chassis, kvm=not why_no_kvm())
        initrd = root / "initrd"
        with initrd.open("wb") as out:
            files = {name: open_mirror().files[name].local for name in ("install-kernel", "install-initrd")}
            out.write(files["install-initrd"].read_bytes())
            extra = io.BytesIO()
            write_cpio(extra, {"look": File(LOOK.encode(), 0o755)})
            out.write(extra.getvalue())
        ramdisk = ["-kernel", str(files["install-kernel"]), "-initrd", str(initrd)]
        ramdisk += ["-append", "rdinit=/look console=ttyS0,115200 quiet"]
        real = vm.arguments
        monkeypatch.setattr(vm, "arguments", lambda *words, **options: [*real(*words, **options), *ramdisk])

    def look(self) -> dict[str, Any]:
        """Power it on, wait for what the ramdisk saw, and until it is off."""

        async def run() -> dict[str, Any]:
            await self.chassis.power("on")
            end = time.monotonic() + DEADLINE
            try:
                while self.chassis.running:
                    assert time.monotonic() < end, self._said()[-2000:]
                    await asyncio.sleep(0.2)
            finally:
                await self.chassis.power("off")
            return dict(json.loads(self._said().rpartition("SEEN ")[2].partition(" END")[0]))

        return asyncio.run(run())

    def _said(self) -> str:
        return self.chassis.console.read_text(errors="replace")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))
    return Place(tmp_path, request.param, monkeypatch)


@pytest.fixture
def simulator(place: Place, tmp_path: Path) -> Iterator[ipmi.Simulator]:
    """The machine's IPMI BMC."""
    state = tmp_path / "state/nonces"
    state.mkdir(parents=True)
    write_generated(state, {"bmc/nonces": (USER, PASSWORD)})
    simulator = ipmi.Simulator("nonces", place.chassis.show(), SecretStore(tmp_path, state))
    yield simulator
    simulator.process.kill()
    simulator.process.wait()


@pytest.mark.parametrize("place", ["ipmi"], indirect=True)
def test_the_mailbox_is_read_by_kcs(place: Place, simulator: ipmi.Simulator) -> None:
    """What ipmitool wrote over the LAN comes out of /dev/ipmi0 in the machine, with ipmi_sim between them."""
    plate = place.chassis.hardware.bmc
    open_bmc("ipmi", Access(plate.address, plate.port, Credentials(USER, Secret(PASSWORD)))).write_mailbox(SECRET)
    seen = place.look()
    assert bytes.fromhex(seen["mailbox"]).rstrip(b"\0") == SECRET
    assert (seen["media"], seen["disks"], seen["tpm"]) == ("", ["NDISK2"], True)


@pytest.mark.parametrize("place", ["ipmi"], indirect=True)
def test_a_silent_bmc_ends_in_no_nonce(place: Place) -> None:
    """KCS that never answers: the ramdisk goes on without a nonce, in time; what then refuses is the boot service."""
    place.chassis.faults.add("kcs-silent")
    seen = place.look()
    assert (seen["mailbox"], seen["disks"]) == ("", ["NDISK2"])


@pytest.mark.parametrize("place", ["redfish"], indirect=True)
def test_the_medium_is_read_from_the_virtual_drive(place: Place) -> None:
    """What the BMC inserted is read from the drive on USB, boots nothing, and is no disk that could be installed to."""
    (place.chassis.directory / MEDIUM).write_bytes(volume(SECRET))
    asyncio.run(place.chassis.insert("http://127.67.0.1/bmk-nonce.iso"))
    seen = place.look()
    assert bytes.fromhex(seen["media"]) == SECRET
    assert (seen["mailbox"], seen["disks"], seen["tpm"]) == ("", ["NDISK1"], True)
