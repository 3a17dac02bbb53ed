"""Real firmware that boots from the network first ends on its disk, because nothing else is granted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.boot.conftest import Boot, until

pytestmark = pytest.mark.machines

CP1 = "52:54:00:20:00:11"


@pytest.mark.parametrize(
    ("firmware", "nic"),
    [
        pytest.param("bios", "virtio-net-pci", id="bios"),
        # Without its option rom the machine boots by OVMF's own PXE stack: TFTP, snponly.efi, then our script.
        pytest.param("uefi", "virtio-net-pci,romfile=", id="uefi"),
    ],
)
def test_network_first_machines_boot_their_disk(
    boot: Boot, start_machine: Callable[..., Path], firmware: str, nic: str
) -> None:
    """`local` leads to the disk on BIOS (sanboot) and on UEFI (the next boot entry), and the journal shows the way."""
    boot.start()
    console = start_machine(CP1, firmware, nic, serial_number="SN-0001")
    until(lambda: boot.journal.since(host="cp-1", kind="boot.answered"), "the machine asks what to boot", 300)
    until(lambda: b"BOOTED FROM DISK" in console.read_bytes(), f"the disk boots; see {console}", 600)
    answered = boot.journal.since(host="cp-1", kind="boot.answered")[-1]
    assert answered.data["decision"] == "local"
    assert answered.data["platform"] == ("efi" if firmware == "uefi" else "pcbios")
    kinds = {event.kind for event in boot.journal.since(host="cp-1")}
    assert {"dhcp.discover", "dhcp.ack", "boot.asked"} <= kinds
    assert ("dhcp.tftp" in kinds) == (firmware == "uefi")
