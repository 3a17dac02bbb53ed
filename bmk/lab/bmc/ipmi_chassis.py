"""The command that `ipmi_sim` runs for power and boot device: `ipmi_chassis <dc> <machine> get|set <what> [value]`.

It is started for every command that the simulated BMC gets, so it imports little. Its output is what ipmi_sim expects
(lanserv/bmc_chassis.c): `power:1`, `boot:pxe`, and for a failure any text and exit status 1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from bmk.errors import BmkError
from bmk.lab.client import request

SLOW = 2.0  # seconds that a slow BMC takes for each command; ipmi_sim does nothing else meanwhile
FROM_LAB = {"pxe": "pxe", "http": "pxe", "disk": "default"}
TO_LAB = {"pxe": ("pxe", "once"), "default": ("disk", "once"), "none": ("disk", "disabled")}


def main(arguments: list[str]) -> int:
    dc, name, verb, *words = arguments
    try:
        machine = next(m for m in request(dc, "list")["machines"] if m["name"] == name)
        _stall(machine)
        if verb == "get":
            print("\n".join(f"{what}:{show(machine, what)}" for what in words))  # noqa: T201 - the answer
        for what, value in zip(words[::2], words[1::2], strict=False) if verb == "set" else ():
            change(dc, machine, what, value)
    except (BmkError, LookupError, StopIteration) as error:
        print(str(error) or f"cannot {verb} {' '.join(words)} of {name}")  # noqa: T201 - ipmi_sim logs it
        return 1
    return 0


def _stall(machine: Mapping[str, Any]) -> None:
    if "bmc-slow" in machine["faults"]:
        time.sleep(SLOW)
    if "bmc-503" in machine["faults"]:
        raise BmkError("the BMC is busy")


def show(machine: Mapping[str, Any], what: str) -> str:
    """The value of `power` or `boot` in ipmi_sim's words."""
    if what == "power":
        return str(int(machine["power"] == "on" and "bmc-power-lies" not in machine["faults"]))
    boot = {"boot": machine["boot"]}[what]
    return "none" if boot["enabled"] == "disabled" else FROM_LAB[boot["target"]]


def change(dc: str, machine: Mapping[str, Any], what: str, value: str) -> None:
    """Do what the BMC was told: `power` 0 or 1, `reset`, `shutdown`, `boot`."""
    if what == "boot":
        target, enabled = TO_LAB[value]
        if "bmc-ignores-override" not in machine["faults"]:
            request(dc, "boot", machine=machine["name"], target=target, enabled=enabled)
        return
    action = {"power": "on" if value == "1" else "off", "reset": "reset", "shutdown": "press"}[what]
    request(dc, "power", machine=machine["name"], action=action)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
