"""What phases ask of the world outside: the one seam between deciding and doing. `world.py` is the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bmk.bmc.protocol import Bmc, Power
from bmk.boot.grants import GrantedImage
from bmk.certificates.renewal import RenewStep
from bmk.certificates.standing import CertificateStanding, HostCertificates
from bmk.cluster.csr import Decision
from bmk.datacenter.resolve import Host
from bmk.encryption.keys import KeyText, PlaneKeys, Sweep
from bmk.errors import BmkError
from bmk.journal import Event
from bmk.plan.actual import Drifted, NodeState, Policies, SshState
from bmk.upgrade.model import NodeVersions, Workloads


@dataclass(frozen=True, slots=True)
class Converge:
    """A playbook for some hosts of one data center, within `seconds`. `variables` may be seen in logs."""

    phase: str
    playbook: str
    hosts: tuple[str, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 3600.0


class Converged(Protocol):
    """What a playbook did to one host."""

    @property
    def ok(self) -> bool: ...
    @property
    def changed(self) -> int: ...
    @property
    def failed_task(self) -> str | None: ...
    @property
    def message(self) -> str: ...
    @property
    def tail(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the smoke test. `host` is set when the check is about one node."""

    name: str
    ok: bool
    detail: str = ""
    host: str | None = None


class ClusterServices(Protocol):
    """What is asked of one cluster's API. Blocking calls with time-outs of their own."""

    def live(self) -> Sequence[str]:
        """Control planes whose API server says it is ready; needs no credentials."""

    def etcd(self) -> Mapping[str, bool]:
        """Members of its etcd by host, and whether each is healthy. Raises Unreachable when no control plane says
        so."""

    def drain(self, host: Host, seconds: float) -> None:
        """Let pods leave a node: cordon, then evict what no DaemonSet and no kubelet brought, as budgets allow.

        Raises PhaseFailed, with the pods that are left and what holds them, when that takes longer than `seconds`.
        """

    def uncordon(self, host: Host) -> None:
        """Let pods come to a node again."""

    def versions(self) -> Mapping[str, NodeVersions]:
        """What each node runs, and the API server of each control plane. Raises Unreachable without an answer."""

    def workloads(self) -> tuple[Workloads, Sequence[str]]:
        """What an upgrade meets, and API servers that could not be asked. Raises Unreachable without an answer."""

    def remove(self, host: Host) -> None:
        """Take a node out for good: no member of etcd, no node. Fine when it is out already."""

    def nodes(self) -> Mapping[str, NodeState]:
        """Node names and whether they are Ready. Raises Unreachable when the API does not answer."""

    def made_with(self) -> Mapping[str, str]:
        """Guarded fields (`bmk.plan.guards`) as the running cluster has them; {} where it does not show them.

        Raises Unreachable when the API does not answer.
        """

    def approve(self) -> Sequence[Decision]:
        """Approve certificates of its nodes that the inventory confirms; what became of each request that waited."""

    def waiting(self) -> Sequence[Decision]:
        """What `approve` would decide about each request that waits; changes nothing. Raises Unreachable."""

    def serving(self, hosts: Sequence[Host]) -> frozenset[str]:
        """Hosts whose kubelet shows a certificate that the cluster signed.

        A node is Ready before it has one, and then no log of it can be read. Raises Unreachable without a kubeconfig.
        """

    def policies(self) -> Policies:
        """Whether the admission policies are as the file has them. Raises Unreachable when the API does not answer."""

    def apply_policies(self) -> Sequence[str]:
        """Put the admission policies in, and take out old ones of bmk; returns what was changed."""

    def evidence(self) -> Mapping[str, Any]:
        """What the controls of hardening ask of an API. Raises Unreachable when it does not answer."""

    def repair_drift(self, found: Sequence[Drifted]) -> None:
        """Put back labels and taints of nodes as found wanting; delete bindings that nobody declared."""

    def smoke(self, only: Host | None = None) -> Sequence[Check]:
        """Prove that the cluster works with real pods; leaves nothing behind. `only`: that this node does."""


class Services(Protocol):
    """All effects a phase may have. Blocking unless `async`."""

    def bmc(self, host: Host) -> Bmc: ...

    def power(self, host: Host) -> Power:
        """Ask once, for a look: a BMC that is silent now is not waited for."""

    def image(self) -> GrantedImage:
        """The node image that the data center serves."""

    def ssh(self, host: Host) -> SshState:
        """Log in with the deployer's key, pinned host key only."""

    def kubelet_error(self, host: Host) -> str:
        """The newest error that the kubelet of this host logged; "" when there is none or the host is silent."""

    def wanted(self, host: Host) -> str:
        """Digest of everything that configures this host: equal means that a converge would change nothing."""

    async def converge(self, request: Converge, on_event: Callable[[Event], None]) -> Mapping[str, Converged]:
        """Run one playbook; a result for every host asked for. A bad host is a result, never an exception."""

    def sign_baselines(self, hosts: Sequence[str]) -> Mapping[str, BmkError | None]:
        """Write down, signed, what the converge left on these hosts: what drift is compared with. None: done."""

    def certificates(self, host: Host) -> HostCertificates:
        """How certificates on this host stand, in their files and as served. What it does not say is unknown."""

    def renew_certificates(self, host: Host, step: RenewStep) -> None:
        """Renew what a step names, and let its static pod start again; does not wait for it. Raises PhaseFailed."""

    def kubeconfig_standing(self, cluster: str) -> CertificateStanding | None:
        """How the certificate in the deployer's kubeconfig of a cluster stands; None: there is no file."""

    def renew_kubeconfig(self, cluster: str) -> None:
        """Write the deployer's kubeconfig anew from the control plane whose administrator's lasts longest.

        Raises Unreachable when none gives one.
        """

    def forget_kubeconfig(self, cluster: str) -> None:
        """Remove the deployer's kubeconfig of a cluster that is no more; fine when there is none."""

    def back_up(self, cluster: str) -> str:
        """Take a backup of a cluster and prove it; its name. Raises what `bmk backup` would end with."""

    def keys_at_rest(self, host: Host) -> PlaneKeys:
        """Which keys of secrets at rest a control plane has. Raises Unreachable when it does not say."""

    def key_text(self, hosts: Sequence[Host], names: Sequence[str], fresh: str) -> KeyText:
        """A file with these keys, as these control planes have them; `fresh` is made when none of them has it.

        Raises PhaseFailed when one is not there, or is another key elsewhere.
        """

    def put_keys(self, host: Host, text: KeyText, before: str) -> None:
        """Replace the file with keys, whose sha256 was `before`. Raises PhaseFailed when it is another by now."""

    def restart_api_server(self, host: Host) -> None:
        """Have the API server of a control plane begin anew; does not wait for it."""

    def sweep_secrets(self, host: Host, key: str, after: str) -> Sweep:
        """A part of a walk over all secrets in etcd, asked of a control plane, from `after` on ("": the beginning).

        What is not under `key` is written anew, unless that is "".
        """

    def forget_history(self, host: Host, revision: int) -> None:
        """Have etcd forget what was before a revision."""

    def accept_keys(self, host: Host, sha256: str) -> None:
        """Have drift compare the file with keys with this one from now on."""

    def cluster(self, name: str) -> ClusterServices: ...
