"""Modules of the node's kernel that the install ramdisk has, and the firmware that they load into their hardware. Pure.

A machine whose disk or NIC the node image drives and the ramdisk does not can never be installed.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LIST = Path(__file__).parent / "node" / "modules.txt"
FIRMWARE = "usr/lib/firmware/"
_NAMED = re.compile(rb"(?<=\0)firmware=([^\0]+)")  # in the section .modinfo


def depends(text: str) -> dict[str, list[str]]:
    """modules.dep: module -> modules that it needs, also indirectly."""
    rows = (line.partition(":") for line in text.splitlines())
    return {name: needed.split() for name, _, needed in rows}


def decided(modules: Iterable[str]) -> dict[str, bool | None]:
    """Module -> whether modules.txt takes it; None: it does not say. The longest line that fits decides."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    takes = {f"kernel/{line.removeprefix('!')}": not line.startswith("!") for line in lines}

    def decide(module: str) -> bool | None:
        fitting = [prefix for prefix in takes if module.startswith(prefix)]
        return takes[max(fitting, key=len)] if fitting else None

    return {module: decide(module) for module in modules}


def taken(needs: Mapping[str, list[str]]) -> set[str]:
    """The modules that modules.txt takes, with what they need."""
    return {name for one, takes in decided(needs).items() if takes for name in (one, *needs[one])}


def firmware(module: bytes) -> set[str]:
    """Files below FIRMWARE that a compressed module may ask for, for whichever of its devices it finds."""
    return {name.decode() for name in _NAMED.findall(lzma.decompress(module))}
