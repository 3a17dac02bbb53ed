"""Which body a machine gets. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bmk.boot.dnsmasq import base_url
from bmk.datacenter.resolve import DataCenter
from bmk.lab.container import ContainerBody
from bmk.lab.machine import Body, Chassis
from bmk.lab.vm import VmBody

_BODIES: dict[str, Callable[[Chassis, str, DataCenter, Mapping[str, Any]], Body]] = {
    "vm": lambda chassis, _lab, _dc, facts: VmBody(chassis, facts["kvm"]),
    "container": lambda chassis, lab, dc, _facts: ContainerBody(chassis, lab, base_url(dc)),
}


def body_of(chassis: Chassis, lab: str, dc: DataCenter, facts: Mapping[str, Any]) -> Body:
    """`lab` names the lab's cgroup; `facts` are those of `probe.py`."""
    return _BODIES[chassis.hardware.kind](chassis, lab, dc, facts)
