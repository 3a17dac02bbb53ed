"""What is done to a machine that works: in its firmware, through its BMC, and with its case open."""

from __future__ import annotations

from tests.containers.drift.plants import Plant

HOST = "vm-1"
NUMBER = r"efibootmgr | sed -nE 's/^Boot([0-9A-F]{4})\*? mine\t.*/\1/p'"

# typed on the machine; `bmk provision` repairs it
BOOTS = (
    Plant("another loader first in the boot order", HOST,
          r"efibootmgr --quiet --create --disk /dev/vda --part 2 --label mine --loader '\EFI\mine.efi'",
          "boot:first", "value", "degraded"),
    Plant("one boot from elsewhere", HOST, f'efibootmgr --quiet --bootnext "$({NUMBER})"',
          "boot:next", "", "degraded"),
)  # fmt: skip
# ordered from its BMC; `bmk provision` repairs it
ORDERED = Plant("a boot from the network, ordered from the BMC", HOST, "", "bmc:boot", "next", "degraded")
# faults of the lab, with the machine off; a person puts back what was there
SWAPPED = (
    Plant("another disk", HOST, "wrong-disk", "disks:MIXDISK0005", "", "breaking"),
    Plant("BIOS instead of UEFI", HOST, "wrong-firmware", "kernel:firmware", "value", "degraded"),
)
ALONG = Plant("BIOS instead of UEFI", HOST, "", "boot:first", "", "degraded")  # BIOS has no order
