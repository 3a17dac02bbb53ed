"""Which host belongs to which cluster, in which role, with which address and pod range. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network

from bmk.datacenter.draft import Allocations
from bmk.datacenter.model import Cluster, DataCenterSpec, DiskSelector, HostSpec, Labels, Profile
from bmk.datacenter.resolve import Host, Role

_SPARE: list[tuple[str | None, Role]] = [(None, "spare")]


def members(clusters: Mapping[str, Cluster], hosts: Iterable[HostSpec]) -> dict[str, list[tuple[str, Role]]]:
    """host -> its (cluster, role) pairs. More than one pair is an error of the file; spares are absent."""
    found: dict[str, list[tuple[str, Role]]] = {}
    for name, cluster in clusters.items():
        control = set(cluster.control_plane.hosts)
        named = set(cluster.workers.hosts)
        for host in hosts:
            if host.name in control:
                found.setdefault(host.name, []).append((name, "control_plane"))
            elif host.name in named or _selected(cluster.workers.select, host.labels):
                found.setdefault(host.name, []).append((name, "worker"))
    return found


def build_hosts(spec: DataCenterSpec, allocations: Allocations) -> dict[str, Host]:
    """Every host of a checked file, by name, in the order of the file."""
    placed = [(rack, host) for rack, value in spec.racks.items() for host in value.hosts]
    roles: Mapping[str, Sequence[tuple[str | None, Role]]] = members(spec.clusters, [host for _, host in placed])
    return {h.name: _host(spec, allocations, (rack, h), roles.get(h.name, _SPARE)[0]) for rack, h in placed}


def effective_disk(host: HostSpec, profile: Profile) -> DiskSelector:
    """The host's own selector, or its profile's."""
    return host.disk if host.disk is not None else profile.disk


def _selected(select: Labels | None, labels: Labels) -> bool:
    return select is not None and all(labels.get(key) == value for key, value in select.items())


def _host(
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
