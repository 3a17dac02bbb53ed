"""A machine on the boot network, as a program: asks what to boot as iPXE does, then runs the real install agent.

`python -m tests.services.boot.player URL CASE` where CASE is JSON: uuid, serial, macs, disk, `nonces` (way -> hex) for
what its BMC was given, `tpm` for the directory of its TPM, `between` for who sits on its cable (`between.py`), and
`lies` when it says of its registers what is not so. Prints what its console shows; the last line is JSON: what it got.
"""

from __future__ import annotations

import contextlib
import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bmk.agent import AgentError, Disk, InstallSpec, MachineFacts, install
from bmk.agent.hardware import one_line
from bmk.agent.service import BootService
from bmk.agent.simulated import SimulatedHardware
from bmk.agent.tpm.commands import Exchange
from bmk.lab.machines import tpm
from bmk.lab.machines.firmware import parse
from tests.services.boot.between import between


class Player(SimulatedHardware):
    """Remembers the spec: whoever gets it may write a disk."""

    spec: InstallSpec | None = None
    place: Path | None = None  # of its TPM

    def tpm(self) -> contextlib.AbstractContextManager[Exchange]:
        return tpm.opened(self.place) if self.place else super().tpm()

    def open_for_a_look(self, spec: InstallSpec) -> None:
        self.spec = spec

    def say(self, text: str) -> None:
        sys.stdout.write(one_line(text))
        sys.stdout.flush()


class Liar(BootService):
    """Another system than ours on the right machine: its proofs are good, and its TPM measured it."""

    def claim(self, facts: MachineFacts, each: Callable[[], None] = lambda: None) -> InstallSpec:
        assert self.evidence is not None
        self.evidence["pcrs"]["4"] = "ab" * 32
        return super().claim(facts, each)


def play(url: str, case: dict[str, Any]) -> dict[str, Any]:
    """What it got: order, spec, the host keys that were accepted, or why not."""
    asked = {"mac": case["macs"][0], "uuid": case["uuid"], "serial": case["serial"], "platform": "efi"}
    with urllib.request.urlopen(f"{url}/boot/ipxe?{urllib.parse.urlencode(asked)}", timeout=20) as answer:
        order = parse(answer.read().decode()).order
    if order is None:
        return {"booted": "local disk"}
    disk = Disk("vda", "/dev/vda", 10**10, case["disk"])
    nonces = {way: bytes.fromhex(nonce) for way, nonce in case["nonces"].items()}
    machine = Player(MachineFacts(case["uuid"], case["serial"], tuple(case["macs"]), (disk,), "uefi"), nonces)
    machine.place = Path(case["tpm"]) if case.get("tpm") else None
    try:
        with between(order.url, case.get("between")) as through:
            order = replace(order, url=through)
            service = (Liar if case.get("lies") else BootService)(order)
            keys = install(order, machine, service).host_keys
    except AgentError as error:
        return {"booted": "ramdisk", "spec": machine.spec is not None, "error": f"{error.what}; {error.why}"}
    return {"booted": "ramdisk", "spec": True, "keys": keys}


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(play(sys.argv[1], json.loads(sys.argv[2])))}\n")
