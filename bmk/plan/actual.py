"""What is known of hosts and clusters right now: records of the journal and answers of live probes, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bmk.certificates.renewal import RenewStep
from bmk.encryption.keys import KeysSeen
from bmk.journal.left_alone import LeftAlone
from bmk.journal.records import (
    InstallationRecord,
    MaintenanceRecord,
    MembershipRecord,
    ProofRecord,
    ResetOrder,
    RetiredRecord,
)
from bmk.upgrade.model import HostUpgrade

PowerState = Literal["on", "off", "unknown"]
SshState = Literal["ok", "silent", "wrong-key", "refused", "unknown"]
NodeState = Literal["ready", "not-ready", "absent", "unknown"]
Converged = Literal["current", "stale", "never"]
Policies = Literal["current", "stale", "unknown"]


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """The open grant of a host, as far as planning needs it. `claimed`: a ramdisk has taken it and may be writing."""

    id: str
    attempt: int
    claimed: bool


@dataclass(frozen=True, slots=True)
class Drifted:
    """A difference that a drift run found and `bmk provision` puts right: by a converge, in the API, by the BMC."""

    text: str
    repair: Literal["converge", "api", "bmc"]
    kind: str = ""
    id: str = ""
    field: str = ""
    want: Any = None


@dataclass(frozen=True, slots=True)
class Actual:
    """The state of one host. Whatever was not asked or did not answer is None or "unknown", never guessed.

    `identity`, `inspection`, `installed`, `joined` and `ready` are journal records; `power`, `ssh` and `node` are live.
    `serving` False: its node is Ready, and its kubelet shows no certificate that the cluster signed.
    `suspect`: what a check found wrong since the last converge; `drift`: what was found since the last repair;
    `baseline`: what the last converge left is in a signed baseline. `again`: a reinstallation is ordered. `removed`: it
    was taken out of its cluster, and has to be installed before it joins again. `remaining`: control planes of its
    cluster that are members and stay it. `renewal`: what is to be renewed of its certificates, and `urgent` which at
    once, at which only `bmk certs renew` looks. `upgrade`: what `bmk upgrade`, which alone looks, does to it in this
    run; `away`: a run before took it away from its cluster, or began to, and did not bring it back. `alone`: why only
    some actions touch it; `maintenance`, `retired` and `reset`: the records of that. `trouble`: which probes failed and
    why, for people.
    """

    identity: Mapping[str, Any] | None = None
    inspection: Mapping[str, Any] | None = None
    installed: InstallationRecord | None = None
    joined: MembershipRecord | None = None
    ready: ProofRecord | None = None
    grant: OpenGrant | None = None
    power: PowerState = "unknown"
    ssh: SshState = "unknown"
    node: NodeState = "unknown"
    serving: bool = True
    converged: Converged = "never"
    suspect: tuple[str, ...] = ()
    drift: tuple[Drifted, ...] = ()
    baseline: bool = False
    again: bool = False
    removed: bool = False
    remaining: tuple[str, ...] = ()
    renewal: tuple[RenewStep, ...] = ()
    urgent: tuple[str, ...] = ()
    alone: LeftAlone | None = None
    maintenance: MaintenanceRecord | None = None
    retired: RetiredRecord | None = None
    reset: ResetOrder | None = None
    upgrade: HostUpgrade | None = None
    away: bool = False
    trouble: tuple[str, ...] = ()

    def is_member_of(self, cluster: str | None) -> bool:
        """By the record of its join; a node in the API alone may be half joined."""
        return self.joined is not None and self.joined.cluster == cluster

    def with_new_disk(self) -> Actual:
        """What is known once the disk is new: the machine, and nothing of what was installed on it."""
        kept = (
            "identity",
            "inspection",
            "grant",
            "power",
            "remaining",
            "alone",
            "maintenance",
            "retired",
            "reset",
            "trouble",
        )
        return Actual(again=self.again, **{name: getattr(self, name) for name in kept})


@dataclass(frozen=True, slots=True)
class ClusterActual:
    """The state of one cluster. `policies`: whether its API has what the file says.

    `kubeconfig`: why the deployer's kubeconfig is to be renewed; `requests`: hosts whose certificates wait for an
    approval that they should get. `bmk certs renew` looks at these two. `upgrade`: the version that `bmk upgrade`
    brings it to in this run, and `unsaved`: no backup was taken for that yet. `encryption`: the keys of secrets at
    rest, at which only their rotation looks.
    """

    policies: Policies = "unknown"
    kubeconfig: str = ""
    requests: tuple[str, ...] = ()
    upgrade: str = ""
    unsaved: bool = False
    encryption: KeysSeen | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of some hosts and of the clusters that they belong to, by name."""

    hosts: Mapping[str, Actual] = field(default_factory=dict)
    clusters: Mapping[str, ClusterActual] = field(default_factory=dict)
