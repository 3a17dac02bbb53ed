"""What the agent refuses to do although it holds a grant. Pure."""

from __future__ import annotations

from bmk.agent.errors import AgentError
from bmk.agent.model import SECTOR, Disk, InstallSpec, MachineFacts
from bmk.agent.sectors import KNOWN
from bmk.disks import names


def check_identity(facts: MachineFacts, spec: InstallSpec) -> None:
    """The machine must have the NICs that the host has. The service compared UUID and serial when it was claimed."""
    missing = [nic.mac for nic in spec.network.nics if nic.mac not in facts.macs]
    if missing or not spec.network.nics:
        raise AgentError(
            f"this is not {spec.host}: it has no NIC {', '.join(missing)}",
            why=f"its NICs are {', '.join(facts.macs) or 'none'}",
            hint=f"compare the nics of {spec.host} in dc.yml with the machine",
            code="identity",
        )


def check_sectors(disk: Disk, firmware: str) -> None:
    """What cannot boot afterwards is not wiped: BIOS reads sectors of 512 bytes only."""
    if disk.sector == SECTOR or (disk.sector in KNOWN and firmware == "uefi"):
        return
    raise AgentError(
        f"disk {names(disk)[0]} has sectors of {disk.sector} bytes, from which this machine cannot boot",
        why="BIOS boots from sectors of 512 bytes only" if disk.sector in KNOWN else f"known are {KNOWN} bytes",
        hint="set the machine's firmware to UEFI, or choose another disk in dc.yml; the disk was left alone",
        code="sectors",
    )


def check_foreign(disk: Disk, spec: InstallSpec) -> None:
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
