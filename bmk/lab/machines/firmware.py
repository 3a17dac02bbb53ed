"""Network boot of machines without real firmware: the request that iPXE would send, and the script in the answer.

`parse()` is pure. Virtual machines do not need this: their iPXE is real.
"""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from dataclasses import dataclass

from bmk.agent import Order
from bmk.agent.__main__ import asked
from bmk.errors import Unreachable
from bmk.lab.machines.hardware import MachineHardware

_PLATFORM = {"uefi": "efi", "bios": "pcbios"}  # iPXE's words
_KERNEL = re.compile(r"^kernel \S+/install/[0-9A-Za-z_-]+/\S+ (.*\bbmk\.grant=.*)", re.MULTILINE)
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class BootAnswer:
    """What to boot. `order` None: the local disk. `said`: the lines that iPXE would print."""

    said: tuple[str, ...]
    order: Order | None = None


def parse(script: str) -> BootAnswer:
    """The answer in an iPXE script."""
    said = tuple(line.removeprefix("echo ") for line in script.splitlines() if line.startswith("echo "))
    found = _KERNEL.search(script)
    return BootAnswer(said, asked(found[1].removesuffix(" || goto local")) if found else None)


def query(hardware: MachineHardware) -> str:
    """The question of iPXE's first script, with this machine's values."""
    values = {"mac": hardware.ports[0].mac, "uuid": hardware.uuid, "serial": hardware.serial}
    return urllib.parse.urlencode({**values, "platform": _PLATFORM[hardware.firmware]})


def ask(url: str, hardware: MachineHardware) -> BootAnswer:
    """Ask the boot server at `url`. Unreachable when it does not answer."""
    try:
        with _opener.open(f"{url}/boot/ipxe?{query(hardware)}", timeout=20) as answer:
            return parse(answer.read().decode())
    except OSError as error:
        raise Unreachable("the boot server does not answer", where=url, why=str(error)) from error
