"""Which hosts need patience: machines whose processors are emulated are ten times slower than real ones."""

from __future__ import annotations

from typing import Literal

from bmk.datacenter.resolve import DataCenter, Host

Timing = Literal["standard", "emulated"]


def host_timing(dc: DataCenter, lab: Timing = "standard") -> dict[str, Timing]:
    """Timing profile by host. `lab` is what this machine's virtual machines need, as the lab's probe found out.

    `spec.timing` overrides it for all hosts; containers and real machines run at native speed.
    """
    return {host.name: _timing(dc, host, lab) for host in dc.hosts.values()}


def _timing(dc: DataCenter, host: Host, lab: Timing) -> Timing:
    if dc.spec.timing != "auto":
        return dc.spec.timing
    machine = host.profile.lab
    return lab if machine is not None and machine.kind in ("vm", "vagrant") else "standard"
