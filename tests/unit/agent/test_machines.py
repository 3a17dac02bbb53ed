"""Which disks a machine has: listings of /sys/block as kernels show them, with other identities.

CONTRIBUTING.md says how to record one more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.agent.choose import choose_disk
from bmk.agent.model import Disk, DiskContent
from bmk.agent.sysfs import disks
from bmk.disks import names

MACHINES = Path(__file__).parent / "machines"
# machine -> what names each of its disks (`bmk.disks.names`): the kernel's name, then as a confirmation calls it
DISKS = {
    "emmc": {"mmcblk0": "0x000000a1"},
    "hypervisor": {"sda": "/dev/sda of 53687091200 bytes", "vda": "VIRTIO0001"},
    "nvme-hidden-paths": {"nvme0n1": "S64GNE0R000001", "nvme1n1": "S64GNE0R000002"},
    "optane": {"nvme0n1": "PHKS0000000001A"},
    "raid-virtual-disks": {
        "sda": "00aa01000000002700",
        "sdb": "00aa02000000002700",
        "sdc": "BOSS000000000001",
    },
    "sas-4kn": {"sda": "ZR10000000000000", "sdb": "20000000000B1"},
    "sas-two-paths": {"sda": "S400NA0M000001", "sdb": "S400NA0M000002"},
    "vmd": {"nvme0n1": "PHAX000000000960", "sda": "BTYG00000000240AGG"},
}
SECTORS = {("optane", "nvme0n1"): 4096, ("sas-4kn", "sda"): 4096}


def found(machine: str, place: Path) -> dict[str, Disk]:
    """The disks of a recorded machine, by name; what was looked at is what they hold."""
    for line in (MACHINES / f"{machine}.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, value = line.partition(":")
            path = place / "block" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes.fromhex(value) if path.name == "vpd_pg80" else f"{value}\n".encode())
    looked = disks(place, lambda disk, parts: (DiskContent(disk, " ".join(parts), foreign=False),))
    return {disk.name: disk for disk in looked}


def test_every_recorded_machine_is_expected() -> None:
    """One file, one line."""
    assert {path.stem for path in MACHINES.iterdir()} == set(DISKS)


@pytest.mark.parametrize("machine", DISKS)
def test_a_machine_has_these_disks(machine: str, tmp_path: Path) -> None:
    """No path, boot area, virtual medium or memory counts as one; each disk is named once, and one name means one."""
    seen = found(machine, tmp_path)
    assert {name: names(disk)[0] for name, disk in seen.items()} == DISKS[machine]
    assert {name: disk.sector for name, disk in seen.items()} == {
        name: SECTORS.get((machine, name), 512) for name in seen
    }
    for disk in seen.values():
        for key in ("serial", "wwn"):
            if said := getattr(disk, key):
                assert choose_disk({key: said.upper() if key == "wwn" else said}, list(seen.values())) is disk


def test_what_a_disk_holds_is_looked_for_on_its_own_partitions(tmp_path: Path) -> None:
    """Once for each drive, by the path that counts."""
    seen = found("sas-two-paths", tmp_path)
    assert [disk.findings for disk in seen.values()] == [
        (DiskContent("/dev/sda", "/dev/sda1 /dev/sda2", foreign=False),),
        (DiskContent("/dev/sdb", "", foreign=False),),
    ]
