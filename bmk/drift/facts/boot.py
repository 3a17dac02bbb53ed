"""What UEFI boots: the first entry of its order by name, and the one that somebody told it to boot next."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bmk.drift.facts.fact import IN_CONTAINER, Fact, Found, Wanted

_ENTRY = re.compile(r"Boot([0-9A-F]{4})\*? (.*?)(?:\t.*)?")
_SETTING = re.compile(r"(BootOrder|BootNext): ([0-9A-F]{4}).*")


def command(_: Wanted) -> str:
    return f"{IN_CONTAINER} || [ ! -d /sys/firmware/efi ] || efibootmgr"


def parse(lines: Sequence[str]) -> Found:
    names = {m[1]: m[2] for line in lines if (m := _ENTRY.fullmatch(line))}
    chosen = {m[1]: m[2] for line in lines if (m := _SETTING.fullmatch(line))}
    words = {"BootOrder": "first", "BootNext": "next"}
    return {words[key]: {"value": names.get(number, number)} for key, number in chosen.items()}


FACT = Fact("boot", command, parse)
