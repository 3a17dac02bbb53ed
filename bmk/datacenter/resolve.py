"""What follows from a data center file: every host with its address, role and pod range. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

from bmk.datacenter.model import Cluster, DataCenterSpec, DiskSelector, Network, Nic, Profile

Role = Literal["control_plane", "worker", "spare"]


@dataclass(frozen=True, slots=True)
class Host:
    """One machine, with all that the file says or implies about it.

    `nics[0]` boots. `address` lies in `network`. `cluster` and `pods` are None for a spare. `uuid` None: not checked.
    """

    name: str
    rack: str
    profile_name: str
    profile: Profile
    serial: str
    uuid: str | None
    nics: tuple[Nic, ...]
    network: Network
    address: IPv4Address
    bmc_address: IPv4Address
    bmc_secret: str
    bmc_fingerprint: str | None
    bmc_system: str | None
    disk: DiskSelector
    labels: Mapping[str, str]
    role: Role
    cluster: str | None
    pods: IPv4Network | None

    @property
    def mac(self) -> str:
        """MAC of the NIC that boots."""
        return self.nics[0].mac


@dataclass(frozen=True)  # no slots: a cached property lives in the instance's dictionary
class DataCenter:
    """A loaded, checked and resolved data center. `source` is the file it came from."""

    name: str
    source: Path
    spec: DataCenterSpec
    hosts: Mapping[str, Host]

    def cluster(self, name: str) -> Cluster:
        return self.spec.clusters[name]

    def members(self, cluster: str, role: Role | None = None) -> tuple[Host, ...]:
        """Hosts of a cluster, in the order of the file (control planes first)."""
        hosts = self._members.get(cluster, ())
        return hosts if role is None else tuple(h for h in hosts if h.role == role)

    @cached_property
    def _members(self) -> Mapping[str, tuple[Host, ...]]:
        """By cluster. Computed once: observing asks for the members of every host's cluster."""
        found: dict[str, list[Host]] = {}
        for host in sorted(self.hosts.values(), key=lambda h: h.role != "control_plane"):
            found.setdefault(host.cluster or "", []).append(host)
        return {name: tuple(hosts) for name, hosts in found.items() if name}
