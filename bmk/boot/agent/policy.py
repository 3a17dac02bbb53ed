"""What the agent refuses to do although it holds a grant. Pure."""

from __future__ import annotations

from bmk.boot.agent.errors import AgentError
from bmk.boot.agent.model import Disk, Facts, Spec
from bmk.disks import names


def check_identity(facts: Facts, spec: Spec) -> None:
    """The machine must have the NICs that the host has. The service compared UUID and serial when it was claimed."""
    missing = [nic.mac for nic in spec.network.nics if nic.mac not in facts.macs]
    if missing or not spec.network.nics:
        raise AgentError(
            f"this is not {spec.host}: it has no NIC {', '.join(missing)}",
            why=f"its NICs are {', '.join(facts.macs) or 'none'}",
            hint=f"compare the nics of {spec.host} in dc.yml with the machine",
            code="identity",
        )


def check_foreign(disk: Disk, spec: Spec) -> None:
    """Data that a person would miss is wiped only if the grant names this very disk as confirmed."""
    if not disk.foreign or spec.confirmed in names(disk):
        return
    held = "; ".join(f"{finding.what} on {finding.where}" for finding in disk.foreign)
    raise AgentError(
        f"disk {names(disk)[0]} holds data that bmk did not write, so it was left alone",
        why=held,
        hint=f"if it may be lost: bmk provision {spec.dc} --confirm {spec.host}",
        code="foreign-data",
    )
