"""The firmware's boot order: our entry first, and no second one of ours. Pure, but for `boot_first`.

A disk boots without it too: firmware starts FALLBACK of a disk that no entry names. So an NVRAM that is full, locked or
forgetful costs the order and not the installation, and nothing that is there is taken away before the new entry is.
"""

from __future__ import annotations

import re

from bmk.agent.errors import AgentError
from bmk.agent.model import BootOrder
from bmk.agent.programs import output

LABEL = "bmk"
LOADER = r"\EFI\debian\shimx64.efi"
FALLBACK = "EFI/BOOT/BOOTX64.EFI"  # below the EFI system partition


def entries(text: str) -> dict[str, str]:
    """efibootmgr's entries: number -> label."""
    found = re.findall(r"^Boot([0-9A-Fa-f]{4})\*?\s+([^\t\n]*)", text, re.MULTILINE)
    return {number: label.strip() for number, label in found}


def order(text: str) -> list[str]:
    """Labels in boot order."""
    match = re.search(r"^BootOrder:\s*(\S+)", text, re.MULTILINE)
    labels = entries(text)
    return [labels.get(number, number) for number in (match[1].split(",") if match else [])]


def ours(text: str) -> list[str]:
    """Numbers of entries that earlier installs made."""
    return [number for number, label in entries(text).items() if label == LABEL]


def boot_first(disk: str, number: int) -> BootOrder:
    """Make the entry for a disk's EFI system partition; efibootmgr puts a new one first. `problem`: what failed."""
    try:
        before = ours(output("efibootmgr"))
        where = ("--disk", disk, "--part", str(number), "--loader", LOADER)
        output("efibootmgr", "--quiet", "--create", "--label", LABEL, *where)
        for old in before:
            output("efibootmgr", "--quiet", "--bootnum", old, "--delete-bootnum")
        labels = order(output("efibootmgr"))
    except AgentError as error:
        return BootOrder([], f"{error.what}: {error.why}")
    first = labels[:1] == [LABEL]
    return BootOrder(labels, "" if first else f"its order is {', '.join(labels) or 'empty'}")
