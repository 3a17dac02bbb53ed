"""What the agent knows: facts of the machine, what it is told to do, and the proof of what it did. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SECTOR = 512  # bytes of a logical sector of most disks, and of the table in a node image


@dataclass(frozen=True, slots=True)
class Order:
    """What the kernel's command line says: who to ask, for which grant, and by which way the two prove themselves.

    `commitment`: what it says of the nonce, where the boot network carries it.
    """

    url: str
    grant: str
    attest: str
    commitment: str = ""


@dataclass(frozen=True, slots=True)
class DiskContent:
    """Something on a disk. `foreign`: a person would miss it."""

    where: str  # device
    what: str
    foreign: bool


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk. `size` in bytes; `wwn` as lsblk says it (0x5000..., eui.0025...); `sector`: bytes of a logical one."""

    name: str  # vda
    path: str  # /dev/vda
    size: int
    serial: str | None = None
    wwn: str | None = None
    model: str | None = None
    rotational: bool = False
    findings: tuple[DiskContent, ...] = ()
    sector: int = SECTOR

    @property
    def holds(self) -> str:
        """What is on it, in words; "" when it is blank."""
        return "; ".join(f"{finding.what} on {finding.where}" for finding in self.findings)

    @property
    def foreign(self) -> tuple[DiskContent, ...]:
        return tuple(finding for finding in self.findings if finding.foreign)

    def said(self) -> dict[str, Any]:
        """As the claim tells it."""
        facts = {key: getattr(self, key) for key in ("name", "size", "serial", "wwn", "model", "rotational", "holds")}
        return {**facts, "foreign": bool(self.foreign)}


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Who the machine is. `macs` are permanent ones, lower case."""

    uuid: str | None
    serial: str | None
    macs: tuple[str, ...]
    disks: tuple[Disk, ...]
    firmware: str  # uefi | bios

    def said(self) -> dict[str, Any]:
        """Body of the claim."""
        said = {"uuid": self.uuid, "serial": self.serial, "macs": list(self.macs), "firmware": self.firmware}
        return {**said, "disks": [disk.said() for disk in self.disks]}


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Bytes to write: `sha256` and `size` are of the compressed bytes, `raw_sha256` is of what they unpack to.

    `token` opens them: they are for the claimer of the grant only.
    """

    url: str
    sha256: str
    size: int | None = None
    raw_sha256: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HostNic:
    mac: str
    name: str


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """The host's static address on its first NIC. `mtu` in bytes."""

    address: str
    prefix: int
    gateway: str | None
    dns: tuple[str, ...]
    ntp: tuple[str, ...]
    mtu: int
    nics: tuple[HostNic, ...]


@dataclass(frozen=True, slots=True)
class InstallSpec:
    """What the claim is answered with."""

    host: str
    hostname: str
    network: HostNetwork
    disk: Mapping[str, Any]
    confirmed: str | None
    image: ImageSource
    authorized_keys: tuple[str, ...]
    next: str = "reboot"
    dc: str = "DC"  # the data center's name, for commands in error messages

    @classmethod
    def read(cls, said: Mapping[str, Any], token: str = "") -> InstallSpec:
        """From the service's JSON, claimed with `token`. KeyError or TypeError when it is not one."""
        network, image = said["network"], said["image"]
        nics = tuple(HostNic(nic["mac"].lower(), nic["name"]) for nic in network["nics"])
        return cls(
            host=said["host"],
            hostname=said["hostname"],
            network=HostNetwork(
                network["address"], int(network["prefix"]), network.get("gateway"), tuple(network.get("dns") or ()),
                tuple(network.get("ntp") or ()), int(network.get("mtu") or 1500), nics,
            ),
            disk=dict(said.get("disk") or {}),
            confirmed=said.get("confirmed"),
            image=ImageSource(image["url"], image["sha256"], image.get("size"), image.get("raw_sha256", ""), token),
            authorized_keys=tuple(said["authorized_keys"]),
            next=said.get("next", "reboot"),
            dc=said.get("dc", "DC"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """Proof of a write. `size`: raw bytes on the disk; `readback_sha256` is of those, read again from the medium."""

    image_sha256: str
    readback_sha256: str
    size: int
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BootOrder:
    """What the firmware boots, as it says itself. `problem`: why the installed disk is not first there; "": it is."""

    labels: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class InstallReport:
    """Body of the `done` route."""

    disk_serial: str | None
    image_sha256: str
    readback_sha256: str
    bytes: int
    host_keys: list[str]
    boot_order: list[str]
    seconds: dict[str, float]

    def said(self) -> dict[str, Any]:
        return asdict(self)
