"""What an upgrade is decided by: what was seen of a cluster, and what follows for each host. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["control-plane", "canary", "all"]  # after which a run ends


@dataclass(frozen=True, slots=True)
class NodeVersions:
    """Of one node, as the API says. `api_server` "": it has none, or that one did not answer.

    `crashing`: static pods of it that begin anew again and again.
    """

    kubelet: str
    ready: bool = True
    cordoned: bool = False
    api_server: str = ""
    crashing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BarePod:
    """A pod that no controller makes anew when its node is drained."""

    namespace: str
    name: str
    node: str


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget: pods that it is about, and how many of them have to be healthy."""

    namespace: str
    name: str
    expected: int
    desired: int

    @property
    def never(self) -> bool:
        """Whether it allows no eviction, however healthy its pods are."""
        return self.desired >= self.expected > 0


@dataclass(frozen=True, slots=True)
class DeprecatedApi:
    """An API that somebody asked for since an API server began. `removed`: the minor version that lacks it."""

    group: str
    version: str
    resource: str
    removed: int

    def __str__(self) -> str:
        return f"{self.resource}.{self.version}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class Workloads:
    """What of a cluster's API an upgrade meets."""

    bare: tuple[BarePod, ...] = ()
    budgets: tuple[Budget, ...] = ()
    deprecated: tuple[DeprecatedApi, ...] = ()


@dataclass(frozen=True, slots=True)
class UpgradeMember:
    """A host of the cluster that has a node. `begun`: an upgrade took it away and did not bring it back."""

    name: str
    role: str
    versions: NodeVersions
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a person accepted of one kind of blocker, and why. What is new since is a blocker again."""

    reason: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """An upgrade that is under way. `without`: hosts that are left behind."""

    target: str
    accepted: Mapping[str, Accepted] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    aborted: bool = False


@dataclass(frozen=True, slots=True)
class UpgradeEvidence:
    """All that was seen of one cluster. `have`: the version it was made with or upgraded to; `wanted`: by the file.

    `known`: versions that can be installed. `etcd`: whether each member is healthy. `drift` and `certificates`: what is
    not as it should be. `backup_age`: seconds since the newest proven backup was begun; None: there is none; `backups`:
    the file says where they go. `blind`: what could not be looked at.
    """

    cluster: str
    have: str
    wanted: str
    members: tuple[UpgradeMember, ...] = ()
    known: tuple[str, ...] = ()
    workloads: Workloads = Workloads()
    etcd: Mapping[str, bool] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    backups: bool = False
    backup_age: float | None = None
    blind: tuple[str, ...] = ()
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class HostUpgrade:
    """What a run does to one host. `target` such as 1.37.2. `pending`: kubeadm and kubelet are still to be upgraded;
    otherwise only what comes after. `drains`: there are other nodes that its pods can go to.
    """

    target: str
    kubelet: str
    api_server: str = ""
    pending: bool = True
    drains: bool = True
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Blocker:
    """What keeps an upgrade from beginning: what of, whose it is, and the next command.

    `acceptable`: a person may take it on with a reason. `accepted`: the reason that one gave.
    """

    kind: str
    text: str
    owner: str
    next: str
    items: tuple[str, ...] = ()
    acceptable: bool = True
    accepted: str = ""

    @property
    def holds(self) -> bool:
        return not self.accepted
