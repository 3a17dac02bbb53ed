"""The backend of each kind of machine. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from bmk.lab.machines.container import ContainerBody
from bmk.lab.machines.machine import Chassis, MachineBackend
from bmk.lab.machines.simulated import THREADS, SimulatedBody
from bmk.lab.machines.vm import VmBody


@dataclass(frozen=True)
class MachineContext:
    """Shared by all machines of a lab: whether KVM works, the lab's cgroup, the boot server's URL, a thread pool."""

    kvm: bool
    cgroup: str
    url: str

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, thread_name_prefix="install")


_BODIES: dict[str, Callable[[Chassis, MachineContext], MachineBackend]] = {
    "vm": lambda chassis, floor: VmBody(chassis, floor.kvm),
    "container": lambda chassis, floor: ContainerBody(chassis, floor.cgroup, floor.url),
    "simulated": lambda chassis, floor: SimulatedBody(chassis, floor.url, floor.pool),
}


def backend_of(chassis: Chassis, floor: MachineContext) -> MachineBackend:
    return _BODIES[chassis.hardware.kind](chassis, floor)
