"""The firmware's boot order: our entry first, and no second one of ours. Pure, but for `boot_first`."""

from __future__ import annotations

import re
import subprocess

from bmk.boot.agent.errors import AgentError

LABEL = "bmk"
LOADER = r"\EFI\debian\shimx64.efi"


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


def boot_first(disk: str, number: int) -> list[str]:
    """Make the entry for a disk's EFI system partition; efibootmgr puts a new one first."""
    for old in ours(_efibootmgr()):
        _efibootmgr("--quiet", "--bootnum", old, "--delete-bootnum")
    _efibootmgr("--quiet", "--create", "--disk", disk, "--part", str(number), "--label", LABEL, "--loader", LOADER)
    seen = order(_efibootmgr())
    if seen[:1] != [LABEL]:
        raise AgentError(
            "the firmware did not take the boot order", why=f"it says {', '.join(seen) or 'nothing'}",
            hint="set the disk first in the BMC or firmware setup, and report the model", code="firmware",
        )  # fmt: skip
    return seen


def _efibootmgr(*arguments: str) -> str:
    done = subprocess.run(["efibootmgr", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AgentError("the firmware's boot entries cannot be set", why=done.stderr.strip()[-300:])
    return done.stdout
