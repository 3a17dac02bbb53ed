"""A machine that the lab does not know, on its boot network: a program that a test starts there.

`python -m tests.machines.rogue.stranger CASE` where CASE is JSON: the file `dc` and the `host` whose MAC it has; `uuid`
and `serial`; `guess`, a nonce (hex) that it hands to itself, or ""; `directory`, its own. It boots from the network
until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bmk.agent.proof import pack
from bmk.bmc.nonce_volume import volume
from bmk.datacenter.load import load_datacenter
from bmk.lab.host import network
from bmk.lab.host.probe import why_no_kvm
from bmk.lab.machines.hardware import BmcPlate, MachineHardware, hardware_of
from bmk.lab.machines.machine import MEDIUM, Boot, Chassis
from bmk.lab.machines.vm import VmBackend

TAP = "stranger"


def hardware(case: dict[str, Any]) -> MachineHardware:
    """The host's own, plugged in elsewhere; its BMC is only a virtual drive."""
    host = hardware_of(load_datacenter(case["dc"]))[case["host"]]
    plate = BmcPlate("redfish", "", 0, "")
    port = replace(host.ports[0], tap=TAP)
    return replace(host, name="stranger", uuid=case["uuid"], serial=case["serial"], ports=(port,), bmc=plate)


async def boot(case: dict[str, Any]) -> None:
    chassis = Chassis(hardware(case), Path(case["directory"]), lambda kind, text: None)
    chassis.backend = VmBackend(chassis, kvm=not why_no_kvm())
    chassis.boot = Boot("pxe", "continuous")
    if case["guess"]:
        (chassis.directory / MEDIUM).write_bytes(volume(pack(bytes.fromhex(case["guess"]))))
        chassis.inserted = "its own"
    await chassis.power("on")
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await chassis.power("off")
        await network.apply([f"link delete {TAP}"])


if __name__ == "__main__":
    asyncio.run(boot(json.loads(sys.argv[1])))
