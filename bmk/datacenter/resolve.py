"""What follows from a data center file: every host with its cluster, role, address and pod range. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

from bmk.datacenter.draft import Allocations
from bmk.datacenter.model import Cluster, DataCenterSpec, DiskSelector, HostSpec, KubernetesSpec, Network, Nic, Profile

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
    """A loaded, checked and resolved data center. `source` is the file it came from.

    `state` is the directory of its journal, keys and rendered files; who writes there first makes it.
    """

    name: str
    source: Path
    spec: DataCenterSpec
    hosts: Mapping[str, Host]
    state: Path

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


_SPARE: list[tuple[str | None, Role]] = [(None, "spare")]


def members(clusters: Mapping[str, Cluster], hosts: Iterable[HostSpec]) -> dict[str, list[tuple[str, Role]]]:
    """host -> its (cluster, role) pairs. More than one pair is an error of the file; spares are absent."""
    found: dict[str, list[tuple[str, Role]]] = {}
    for name, cluster in clusters.items():
        control = set(cluster.control_plane.hosts)
        named, select = set(cluster.workers.hosts), cluster.workers.select
        for host in hosts:
            if host.name in control:
                found.setdefault(host.name, []).append((name, "control_plane"))
            elif host.name in named or (select is not None and select.items() <= host.labels.items()):
                found.setdefault(host.name, []).append((name, "worker"))
    return found


def build_hosts(spec: DataCenterSpec, allocations: Allocations) -> dict[str, Host]:
    """Every host of a checked file, by name, in the order of the file."""
    placed = [(rack, host) for rack, value in spec.racks.items() for host in value.hosts]
    roles: Mapping[str, Sequence[tuple[str | None, Role]]] = members(spec.clusters, [host for _, host in placed])
    return {h.name: _resolved(spec, allocations, (rack, h), roles.get(h.name, _SPARE)[0]) for rack, h in placed}


def effective_disk(host: HostSpec, profile: Profile) -> DiskSelector:
    """The host's own selector, or its profile's."""
    return host.disk if host.disk is not None else profile.disk


def _resolved(
    spec: DataCenterSpec, allocations: Allocations, placed: tuple[str, HostSpec], member: tuple[str | None, Role]
) -> Host:
    (rack, host), (cluster, role) = placed, member
    profile = spec.profiles[host.profile]
    pods: IPv4Network | None = allocations.pods[cluster][host.name] if cluster else None
    return Host(
        name=host.name,
        rack=rack,
        profile_name=host.profile,
        profile=profile,
        serial=host.serial,
        uuid=host.uuid,
        nics=host.nics,
        network=spec.networks[host.nics[0].network],
        address=host.address or allocations.addresses[host.name],
        bmc_address=host.bmc.address,
        bmc_secret=host.bmc.secret or profile.bmc.secret,
        bmc_fingerprint=host.bmc.fingerprint,
        bmc_system=host.bmc.system,
        disk=effective_disk(host, profile),
        labels=host.labels,
        role=role,
        cluster=cluster,
        pods=pods,
    )


def kubernetes_versions(dc: DataCenter) -> tuple[str, ...]:
    """Versions of Kubernetes that its clusters are to have, each once."""
    return tuple(dict.fromkeys(cluster.kubernetes.version for cluster in dc.spec.clusters.values()))


def with_versions(dc: DataCenter, versions: Mapping[str, str]) -> DataCenter:
    """The data center with other versions of Kubernetes than the file has, by cluster."""
    changed = {
        name: dc.cluster(name).model_copy(update={"kubernetes": KubernetesSpec(version=version)})
        for name, version in versions.items()
    }
    spec = dc.spec.model_copy(update={"clusters": {**dc.spec.clusters, **changed}})
    return replace(dc, spec=spec)
