"""A machine on the boot network, as a program: asks what to boot as iPXE does, then runs the real install agent.

`python -m tests.services.boot.player URL CASE` where CASE is JSON: uuid, serial, macs, disk, and `nonces` (way -> hex)
for what its BMC was given. Prints what its console shows, and at last one line of JSON: what it got.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from typing import Any

from bmk.boot.agent import AgentError, Disk, Facts, Spec, install
from bmk.boot.agent.hardware import one_line
from bmk.boot.agent.simulated import SimulatedHardware
from bmk.lab.firmware import parse


class Player(SimulatedHardware):
    """Remembers the spec: whoever gets it may write a disk."""

    spec: Spec | None = None

    def open_for_a_look(self, spec: Spec) -> None:
        self.spec = spec

    def say(self, text: str) -> None:
        sys.stdout.write(one_line(text))
        sys.stdout.flush()


def play(url: str, case: dict[str, Any]) -> dict[str, Any]:
    """What it got: order, spec, the host keys that were accepted, or why not."""
    asked = {"mac": case["macs"][0], "uuid": case["uuid"], "serial": case["serial"], "platform": "efi"}
    with urllib.request.urlopen(f"{url}/boot/ipxe?{urllib.parse.urlencode(asked)}", timeout=20) as answer:
        order = parse(answer.read().decode()).order
    if order is None:
        return {"booted": "local disk"}
    disk = Disk("vda", "/dev/vda", 10**10, case["disk"])
    nonces = {way: bytes.fromhex(nonce) for way, nonce in case["nonces"].items()}
    machine = Player(Facts(case["uuid"], case["serial"], tuple(case["macs"]), (disk,), "uefi"), nonces)
    try:
        keys = install(order, machine).host_keys
    except AgentError as error:
        return {"booted": "ramdisk", "spec": machine.spec is not None, "error": f"{error.what}; {error.why}"}
    return {"booted": "ramdisk", "spec": True, "keys": keys}


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(play(sys.argv[1], json.loads(sys.argv[2])))}\n")
