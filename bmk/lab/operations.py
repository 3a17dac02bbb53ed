"""What the control socket offers. Each operation takes the request's other keys and returns the answer's.

list   bmc (optional: only the machine whose BMC has this address) -> machines: see `machine.Chassis.show`
status                                           -> stage, services, machines (power only), limits, timing, pid
power  machine, action (on off cycle reset press)
boot   machine, target (pxe http disk), enabled (once continuous disabled)
medium  machine, url                             -> inserted into the virtual drive by the BMC; "": ejected
fault  fault, on, machine (not for faults of the whole lab), seconds (optional: heals by itself)
preseed  machine                                 -> host_keys; containers only, see `preseed.py`
up                                               -> added: machines for hosts that the file has got since; an error
                                                    when a service does not stay up
down                                             ends the lab
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from bmk.errors import ConfigError
from bmk.lab.control import Operation
from bmk.lab.machines.container import ContainerBackend
from bmk.lab.machines.machine import Chassis, Enabled, Target
from bmk.lab.machines.preseed import preseed

if TYPE_CHECKING:
    from bmk.lab.supervisor import Supervisor

_ACTIONS = ("on", "off", "cycle", "reset", "press")


class Operations:
    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor

    def table(self) -> dict[str, Operation]:
        return {
            "list": self.list,
            "status": self.status,
            "power": self.power,
            "boot": self.boot,
            "medium": self.medium,
            "fault": self.fault,
            "preseed": self.preseed,
            "up": self.up,
            "down": self.down,
        }

    def _machine(self, question: dict[str, Any]) -> Chassis:
        name = question["machine"]
        if name not in self._lab.machines:
            raise ConfigError(f"there is no machine {name!r}", why=f"there are {', '.join(self._lab.machines)}")
        return self._lab.machines[name]

    async def list(self, question: dict[str, Any]) -> dict[str, Any]:
        if "bmc" not in question:
            return {"machines": [m.show() for m in self._lab.machines.values()]}
        machine = self._lab.by_bmc.get(question["bmc"])  # one of a thousand: the emulated BMCs ask at each request
        return {"machines": [machine.show()] if machine else []}

    async def status(self, _question: dict[str, Any]) -> dict[str, Any]:
        return {
            "stage": self._lab.stage,
            "services": self._lab.services.show(),
            "machines": {n: "on" if m.running else "off" for n, m in self._lab.machines.items()},
            "faults": self._lab.faults.lab_wide,
            "timing": self._lab.facts["timing"],
            "limits": self._lab.facts["limits"],
        }

    async def power(self, question: dict[str, Any]) -> dict[str, Any]:
        action = _one_of(question["action"], _ACTIONS)
        machine = self._machine(question)
        await machine.power(action)
        return {"power": "on" if machine.running else "off"}

    async def boot(self, question: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine(question)
        target = _one_of(question["target"], get_args(Target))
        await machine.set_boot(target, _one_of(question["enabled"], get_args(Enabled)))
        return {"boot": machine.show()["boot"]}

    async def medium(self, question: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine(question)
        await machine.insert(str(question["url"]))
        return {"medium": machine.show()["medium"]}

    async def fault(self, question: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine(question) if question.get("machine") else None
        on, seconds = bool(question.get("on", True)), question.get("seconds")
        await self._lab.faults.set(question["fault"], machine, on, None if seconds is None else float(seconds))
        return {"faults": sorted(machine.faults) if machine else self._lab.faults.lab_wide}

    async def preseed(self, question: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine(question)
        if not isinstance(machine.backend, ContainerBackend):
            raise ConfigError("only system containers can be installed beforehand", where=machine.hardware.name)
        host = self._lab.dc.hosts[machine.hardware.name]
        keys = preseed(host, self._lab.dc, machine.backend.disk)
        self._lab.pin(host, keys)
        return {"host_keys": keys}

    async def up(self, _question: dict[str, Any]) -> dict[str, Any]:
        await self._lab.services.ready(self._lab.services.started.values(), lambda _: None)
        return {"added": await self._lab.reload()}

    async def down(self, _question: dict[str, Any]) -> dict[str, Any]:
        self._lab.ended.set()
        return {}


def _one_of(value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ConfigError(f"{value!r} is none of {', '.join(allowed)}")
    return value
