"""The hardware of each host's machine. Pure, except for the two functions that read and write files. Made once, on the
first `lab up`: serial, UUID, MACs and disk serials are then kept in `lab/machines/<name>/hardware.json`, as with real
machines. A later change of `dc.yml` does not change them: the file then differs from its machine.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bmk.datacenter.model import LabMachine
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import ConfigError

Kind = Literal["vm", "container", "simulated"]
Firmware = Literal["uefi", "bios"]

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NAMESPACE = uuid.UUID("6b1f7a52-0b3c-4b0e-9d0a-6e1f5d2c9a77")
_BMC_PORTS = {"redfish": 443, "ipmi": 623}
SECTOR = 512
_KCS_PORTS = 10_000  # the first; one for each machine, on the lab's own loopback


@dataclass(frozen=True, slots=True)
class Drive:
    """`size` in bytes, `sector` in bytes of a logical one. `bus`: virtio; for drives with a WWN or spindles ahci, which
    has sectors of 512 bytes only, else scsi.
    """

    name: str
    serial: str
    size: int
    wwn: str | None = None
    rotational: bool = False
    sector: int = SECTOR

    @property
    def bus(self) -> Literal["virtio", "ahci", "scsi"]:
        if not (self.wwn or self.rotational):
            return "virtio"
        return "ahci" if self.sector == SECTOR else "scsi"


@dataclass(frozen=True, slots=True)
class Port:
    """A network port.

    `tap` is its name on the lab's side, `bridge` and `mtu` (bytes) are of the network it is plugged into.
    """

    mac: str
    tap: str
    bridge: str
    mtu: int


@dataclass(frozen=True, slots=True)
class BmcPlate:
    """The BMC: kind, address, port, and the reference to its credentials. `kcs`: the port on the lab's loopback where
    its own machine reaches it (IPMI); 0: none.
    """

    kind: Literal["redfish", "ipmi"]
    address: str
    port: int
    secret: str
    kcs: int = 0


@dataclass(frozen=True, slots=True)
class MachineHardware:
    """One machine. `memory` in bytes; `address` is the host's address, which only simulated machines need to know."""

    name: str
    kind: Kind
    firmware: Firmware
    uuid: str
    serial: str
    cpus: int
    memory: int
    ports: tuple[Port, ...]
    drives: tuple[Drive, ...]
    bmc: BmcPlate
    address: str
    tpm: bool = False


def parse_size(text: str) -> int:
    """Bytes of `2GiB` or `12GB`; a leading comparison (`>=`) is ignored."""
    match = re.fullmatch(r"(?:>=|<=|=)?\s*([0-9.]+)\s*([A-Za-z]+)", text)
    if match is None or match[2] not in _UNITS:
        raise ConfigError(f"{text!r} is no size", hint="write it as 2GiB or 12GB")
    return int(float(match[1]) * _UNITS[match[2]])


def bridges(dc: DataCenter) -> dict[str, str]:
    """Bridge of each network that a NIC is plugged into; the deployer's network is always `bmk0`."""
    used = {nic.network for host in dc.hosts.values() for nic in host.nics}
    deployer = dc.spec.deployer.address
    ordered = sorted(used, key=lambda n: (deployer not in dc.spec.networks[n].cidr, n))
    return {network: f"bmk{number}" for number, network in enumerate(ordered)}


def hardware_of(dc: DataCenter) -> dict[str, MachineHardware]:
    """The machine of every host whose profile has a `lab` section, but for those that Vagrant makes."""
    plugs = bridges(dc)
    built = [h for h in dc.hosts.values() if h.profile.lab is not None]
    hosts = [h for h in built if h.profile.lab is not None and h.profile.lab.kind != "vagrant"]
    if not built:
        raise ConfigError(
            "no profile of this data center has a `lab` section, so there is nothing to build",
            where=str(dc.source),
            hint="use inventories/lab, or add `lab: {kind: vm}` to a profile",
        )
    return {h.name: _machine(dc, h, number, plugs) for number, h in enumerate(hosts)}


def _machine(dc: DataCenter, host: Host, number: int, plugs: Mapping[str, str]) -> MachineHardware:
    lab = host.profile.lab
    if lab is None or lab.kind == "vagrant":
        raise ConfigError("no machine of the lab", where=host.name)
    ports = tuple(
        Port(nic.mac, f"m{number}n{i}", plugs[nic.network], dc.spec.networks[nic.network].mtu)
        for i, nic in enumerate(host.nics)
    )
    bmc = host.profile.bmc
    plate = BmcPlate(
        bmc.kind, str(host.bmc_address), bmc.port or _BMC_PORTS[bmc.kind], host.bmc_secret, _KCS_PORTS + number
    )
    return MachineHardware(
        name=host.name,
        kind=lab.kind,
        firmware=host.profile.firmware,
        uuid=(host.uuid or str(uuid.uuid5(_NAMESPACE, f"{dc.name}/{host.name}"))).lower(),
        serial=host.serial,
        cpus=lab.cpus,
        memory=parse_size(lab.memory),
        ports=ports,
        drives=(_drive(host, lab),),
        bmc=plate,
        address=str(host.address),
        tpm=lab.tpm,
    )


def _drive(host: Host, lab: LabMachine) -> Drive:
    disk = host.disk
    serial = disk.serial or f"D0-{host.serial}"[:20]  # virtio-blk shows 20 characters
    rotational = disk.rotational is True
    name = "sda" if disk.wwn or rotational else "vda"
    return Drive(name, serial, parse_size(lab.disk), disk.wwn, rotational)


def bought(planned: MachineHardware, machine_dir: Path) -> MachineHardware:
    """The machine with the identity of `hardware.json`, if there is one, and the planned sizes and networks."""
    path = machine_dir / "hardware.json"
    if path.exists():
        return _with_identity(planned, json.loads(path.read_text()))
    machine_dir.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(planned), indent=1))
    temporary.replace(path)
    return planned


def _with_identity(planned: MachineHardware, kept: Mapping[str, Any]) -> MachineHardware:
    macs = [p["mac"] for p in kept["ports"]]
    ports = tuple(replace(port, mac=macs[i]) if i < len(macs) else port for i, port in enumerate(planned.ports))
    drives = tuple(Drive(**d) for d in kept["drives"])
    return replace(planned, uuid=kept["uuid"], serial=kept["serial"], ports=ports, drives=drives)


def with_faults(bought: MachineHardware, faults: Collection[str]) -> MachineHardware:
    """The hardware after parts were replaced by a fault: mainboard, disks, NIC, firmware settings. Pure."""
    serial = _other(bought.serial) if "wrong-serial" in faults else bought.serial
    drives = bought.drives
    if "wrong-disk" in faults:
        drives = tuple(replace(drive, serial=_other(drive.serial)) for drive in drives)
    if "disk-4kn" in faults:
        drives = tuple(replace(drive, sector=4096) for drive in drives)
    ports = bought.ports
    if "wrong-nic" in faults:
        ports = (replace(ports[0], mac=_other_mac(ports[0].mac)), *ports[1:])
    bmc = replace(bought.bmc, kcs=0) if "kcs-silent" in faults else bought.bmc
    fitted = replace(bought, serial=serial, ports=ports, drives=drives, bmc=bmc)
    return replace(fitted, firmware=_mode(bought.firmware, faults))


def _other(serial: str) -> str:
    return f"WRONG{serial[5:]}"


def _other_mac(mac: str) -> str:
    return f"{int(mac[:2], 16) ^ 0x08:02x}{mac[2:]}"


def _mode(firmware: Firmware, faults: Collection[str]) -> Firmware:
    if "wrong-firmware" not in faults:
        return firmware
    return "bios" if firmware == "uefi" else "uefi"
