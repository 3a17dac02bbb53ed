"""The backend of each kind of machine. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from bmk.lab.machines.container import ContainerBackend
from bmk.lab.machines.machine import Chassis, MachineBackend
from bmk.lab.machines.simulated import THREADS, SimulatedBackend
from bmk.lab.machines.vm import VmBackend


@dataclass(frozen=True)
class MachineContext:
    """Shared by all machines of a lab: whether KVM works, the lab's cgroup, the boot server's URL, a thread pool."""

    kvm: bool
    cgroup: str
    url: str

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, thread_name_prefix="install")


_BACKENDS: dict[str, Callable[[Chassis, MachineContext], MachineBackend]] = {
    "vm": lambda chassis, shared: VmBackend(chassis, shared.kvm),
    "container": lambda chassis, shared: ContainerBackend(chassis, shared.cgroup, shared.url),
    "simulated": lambda chassis, shared: SimulatedBackend(chassis, shared.url, shared.pool),
}


def backend_of(chassis: Chassis, shared: MachineContext) -> MachineBackend:
    return _BACKENDS[chassis.hardware.kind](chassis, shared)
