"""What cannot be changed of a cluster that exists. Pure: data center and record of what it was made with -> refusals.

A field of a cluster is guarded when no phase of `provision` can bring a running cluster from one value to another;
every other one is converged. A test holds that each field of the model is decided, here or in CONVERGED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass

from bmk.datacenter.inventory import endpoint
from bmk.datacenter.resolve import DataCenter
from bmk.journal.records import MembershipRecord

VERSION = "kubernetes.version"  # the guarded field that `bmk upgrade` changes
RECORD = "made_with"  # of a cluster: the value of each guarded field, by its name, as its kubeadm init had it


@dataclass(frozen=True, slots=True)
class Guard:
    """`field` is a path below spec.clusters.NAME; `read` its value as text; `why` it cannot be changed."""

    field: str
    read: Callable[[DataCenter, str], str]
    why: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guarded field of a cluster that exists has another value in the file than the cluster was made with."""

    cluster: str
    field: str
    made_with: str
    wanted: str
    why: str

    @property
    def loc(self) -> tuple[str, ...]:
        """Where the field is in the file."""
        return ("spec", "clusters", self.cluster, *self.field.split("."))

    def __str__(self) -> str:
        return f"cluster {self.cluster} has {self.field} {self.made_with}, dc.yml says {self.wanted}: {self.why}"


def _endpoint(dc: DataCenter, cluster: str) -> str:
    return "{}:{}".format(*endpoint(dc, cluster))


GUARDS = (
    Guard(
        VERSION,
        lambda dc, name: dc.cluster(name).kubernetes.version,
        "another version is an upgrade, one node after the other and API servers first, which bmk upgrade does",
    ),
    Guard(
        "endpoint", _endpoint, "every kubelet and kubeconfig has it, and the certificates of the API servers name it"
    ),
    Guard(
        "network.pods",
        lambda dc, name: str(dc.cluster(name).network.pods),
        "each node has its part of this range, and running pods have addresses of it",
    ),
    Guard(
        "network.node_prefix",
        lambda dc, name: str(dc.cluster(name).network.node_prefix),
        "it says which part of the range of pods each node has, and running pods have addresses of it",
    ),
    Guard(
        "network.services",
        lambda dc, name: str(dc.cluster(name).network.services),
        "Services keep their addresses for life, and the certificates of the API servers name the first",
    ),
    Guard(
        "network.plugin",
        lambda dc, name: dc.cluster(name).network.plugin,
        "the interfaces, routes and rules of the old plug-in would stay beside those of the new one",
    ),
)
# Fields that provision brings to a running cluster, and the one that says how.
CONVERGED = (
    *("control_plane.hosts", "workers.hosts", "workers.select", "hardening", "rollout"),
    *("network.bgp", "network.policies", "network.deny", "network.masquerade", "network.masquerade_except"),
    "network.load_balancers",
    "backup",  # `bmk backup` reads it each time: nothing of it is on a node
)


def made_with(dc: DataCenter, cluster: str) -> dict[str, str]:
    """The guarded fields of a cluster as the file has them now, for the record of one that is being made."""
    return {guard.field: guard.read(dc, cluster) for guard in GUARDS}


def existing(joined: Mapping[str, MembershipRecord], again: Set[str]) -> set[str]:
    """Clusters with a member that stays, by the `joined` records of hosts; `again` are to be installed anew."""
    return {record.cluster for host, record in joined.items() if host not in again}


def refusals(dc: DataCenter, cluster: str, record: Mapping[str, str]) -> Iterator[Refusal]:
    """What differs. A field that is not in the record is not known, and not refused."""
    for guard in GUARDS:
        before, wanted = record.get(guard.field), guard.read(dc, cluster)
        if before is not None and before != wanted:
            yield Refusal(cluster, guard.field, before, wanted, guard.why)
