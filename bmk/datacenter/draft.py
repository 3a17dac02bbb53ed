"""The well-formed parts of a data center file, so that cross checks run even when other parts have a wrong shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bmk.datacenter.model import (
    Cluster,
    DataCenterSpec,
    Deployer,
    Expected,
    HostSpec,
    Network,
    Profile,
    Waiver,
)
from bmk.datacenter.scalars import Name
from bmk.datacenter.spec import Spec
from bmk.document import Loc

M = TypeVar("M", bound=BaseModel)


class Allocations(Spec):
    """addresses.yml: addresses and pod ranges that were allocated and are kept."""

    addresses: dict[Name, IPv4Address] = {}
    pods: dict[Name, dict[Name, IPv4Network]] = {}


@dataclass(frozen=True, slots=True)
class Placed:
    """A host with the place where it is written and the networks of its rack."""

    loc: Loc
    rack: str
    networks: tuple[str, ...]
    spec: HostSpec


@dataclass(frozen=True)
class Draft:
    """The well-formed parts of a file; waivers by index. `names` holds the names of all parts, malformed ones too."""

    deployer: Deployer | None
    networks: Mapping[str, Network]
    profiles: Mapping[str, Profile]
    hosts: tuple[Placed, ...]
    clusters: Mapping[str, Cluster]
    allocations: Allocations
    names: Mapping[str, frozenset[str]]
    waivers: Mapping[int, Waiver] = field(default_factory=dict)
    expected: tuple[Expected, ...] = ()

    def known(self, kind: str, name: str) -> bool:
        return name in self.names[kind]


def draft_of(spec: DataCenterSpec, allocations: Allocations) -> Draft:
    """The draft of a file whose shape is right."""
    hosts = tuple(
        Placed(("spec", "racks", rack, "hosts", i), rack, spec.racks[rack].networks, host)
        for rack, value in spec.racks.items()
        for i, host in enumerate(value.hosts)
    )
    names = {
        "network": frozenset(spec.networks),
        "profile": frozenset(spec.profiles),
        "host": frozenset(h.spec.name for h in hosts),
        "cluster": frozenset(spec.clusters),
    }
    waivers = dict(enumerate(spec.waivers))
    return Draft(
        spec.deployer, spec.networks, spec.profiles, hosts, spec.clusters, allocations, names, waivers, spec.expected
    )


def draft_of_broken(tree: Any, allocations: Allocations) -> Draft:
    """The draft of a file whose shape is wrong somewhere: each part is validated by itself."""
    spec = _dict(_dict(tree).get("spec"))
    hosts = tuple(_broken_hosts(_dict(spec.get("racks"))))
    raw_hosts = [_dict(h).get("name") for _, rack in _racks(spec) for h in _list(rack.get("hosts"))]
    names = {
        "network": frozenset(_dict(spec.get("networks"))),
        "profile": frozenset(_dict(spec.get("profiles"))),
        "host": frozenset(str(name) for name in raw_hosts if name),
        "cluster": frozenset(_dict(spec.get("clusters"))),
    }
    return Draft(
        deployer=_try(Deployer, spec.get("deployer")),
        networks=_all(Network, spec.get("networks")),
        profiles=_all(Profile, spec.get("profiles")),
        hosts=hosts,
        clusters=_all(Cluster, spec.get("clusters")),
        allocations=allocations,
        names=names,
        waivers={i: w for i, raw in enumerate(_list(spec.get("waivers"))) if (w := _try(Waiver, raw)) is not None},
    )


def _broken_hosts(racks: Mapping[str, Any]) -> Iterator[Placed]:
    for name, rack in _racks({"racks": racks}):
        networks = tuple(map(str, _list(rack.get("networks", ["nodes"]))))
        for i, raw in enumerate(_list(rack.get("hosts"))):
            host = _try(HostSpec, raw)
            if host is not None:
                yield Placed(("spec", "racks", name, "hosts", i), name, networks, host)


def _racks(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, rack in _dict(spec.get("racks")).items():
        yield name, _dict(rack)


def _all(model: type[M], raw: Any) -> dict[str, M]:
    found = {name: _try(model, value) for name, value in _dict(raw).items()}
    return {name: value for name, value in found.items() if value is not None}


def _try(model: type[M], raw: Any) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
