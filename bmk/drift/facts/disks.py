"""Disks of the machine by serial number, with their size; a container sees those of the machine around it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bmk.drift.facts.fact import IN_CONTAINER, Fact, Found, Wanted

_BUILT_IN = (None, "", "ata", "sata", "sas", "nvme", "virtio")  # what comes over a network, comes and goes


def command(_: Wanted) -> str:
    return f"{IN_CONTAINER} || lsblk --nodeps --bytes --json --output NAME,TYPE,TRAN,SERIAL,WWN,SIZE"


def parse(lines: Sequence[str]) -> Found:
    said = "\n".join(lines).strip()
    found: Found = {}
    for disk in json.loads(said)["blockdevices"] if said else ():
        name = disk["serial"] or disk["wwn"]
        if disk["type"] == "disk" and disk["tran"] in _BUILT_IN and name:
            found[str(name)] = {"size": int(disk["size"])}
    return found


FACT = Fact("disks", command, parse)
