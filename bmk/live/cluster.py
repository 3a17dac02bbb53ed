"""One real cluster as phases ask it: its API by the administrator's kubeconfig, checked against the inventory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bmk import permit
from bmk.boot.dnsmasq import base_url
from bmk.cluster import csr, drain, etcd, smoke
from bmk.cluster.anonymous import live_control_planes
from bmk.cluster.api import Api
from bmk.cluster.kubeadm_config import made_with
from bmk.cluster.smoke import Proof
from bmk.cluster.upgrade_facts import bare_pods, budgets, deprecated_apis, looping, node_versions, server_version
from bmk.datacenter.credentials import MetricsPair, metrics_pair
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift.outside.cluster import ADMINISTRATORS, administrator, wanted_policies
from bmk.engine.services import Check
from bmk.errors import BmkError, Unreachable
from bmk.hardening import addons, policy
from bmk.hardening.addons import Object
from bmk.hardening.network import unable as unable_nodes
from bmk.hardening.policy import automatic
from bmk.journal import Journal
from bmk.journal.left_alone import left_alone
from bmk.journal.records import RetiredRecord
from bmk.phases.drift_repair import node_patches
from bmk.plan.actual import Drifted, NodeState, Policies
from bmk.ssh import CommandResult
from bmk.upgrade.model import NodeVersions, Workloads

Ssh = Callable[[Host, list[str]], CommandResult]  # runs a command on a host
PROOF = "network_policy"  # record of a cluster: where a NetworkPolicy held when it was tried last
_SMOKE = "smoke"  # the image that the smoke test's pods run
_PATIENCE = {"standard": 180.0, "emulated": 600.0}  # seconds for each thing of the smoke test to come up
_REQUEST = {"standard": 15.0, "emulated": 60.0}  # seconds for one answer of the API


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """How a cluster is reached: its administrator's kubeconfig, images by name, how patient to be, ssh to its hosts."""

    kubeconfig: Path
    images: Mapping[str, str]
    timing: Literal["standard", "emulated"]
    ssh: Ssh


class LiveCluster:
    """The API of one cluster. Opens a connection per question: control planes come and go while one asks."""

    def __init__(self, workspace: tuple[DataCenter, Journal], name: str, access: ClusterAccess) -> None:
        self._dc, self._journal = workspace
        self._name, self._kubeconfig, self._images, self._ssh = name, access.kubeconfig, access.images, access.ssh
        self._patience, self._seconds = _PATIENCE[access.timing], _REQUEST[access.timing]

    def live(self) -> Sequence[str]:
        """Control planes whose API server says it is ready; needs no credentials."""
        members = self._dc.members(self._name, "control_plane")
        return live_control_planes({h.name: str(h.address) for h in members})

    def etcd(self) -> Mapping[str, bool]:
        names = {str(h.address): h.name for h in self._dc.members(self._name, "control_plane")}
        return etcd.healthy(self._etcd_list(etcd.health_command(), (), last=tuple(names.values())), names)

    def drain(self, host: Host, seconds: float) -> None:
        with self._api() as api:
            if host.name in api.nodes.readiness():
                drain.drain(api, host.name, seconds)

    def uncordon(self, host: Host) -> None:
        with self._api() as api:
            drain.uncordon(api, host.name)

    def versions(self) -> Mapping[str, NodeVersions]:
        with self._api() as api:
            said = self._each_server(api, "/version")
            servers = {name: server_version(text) for name, text in said.items() if isinstance(text, str)}
            loops = looping(api.pods.states("kube-system", {"tier": "control-plane"}))
            return node_versions(api.nodes.objects(), servers, loops)

    def workloads(self) -> tuple[Workloads, Sequence[str]]:
        with self._api() as api:
            said = self._each_server(api, "/metrics")
            old = {one for text in said.values() if isinstance(text, str) for one in deprecated_apis(text)}
            found = Workloads(
                tuple(bare_pods(api.pods.objects("*"))), tuple(budgets(api.pods.budgets())), tuple(sorted(old, key=str))
            )
        return found, [f"{name}: {why.what}" for name, why in said.items() if isinstance(why, BmkError)]

    def _each_server(self, api: Api, path: str) -> dict[str, str | BmkError]:
        """What each API server answers, or why one does not."""

        def ask(host: Host) -> str | BmkError:
            try:
                return api.text(f"https://{host.address}:6443", path)
            except BmkError as error:
                return error

        planes = self._dc.members(self._name, "control_plane")
        with ThreadPoolExecutor(len(planes) or 1) as pool:
            return dict(zip((h.name for h in planes), pool.map(ask, planes), strict=True))

    def remove(self, host: Host) -> None:
        """etcd first: a member that is gone from the API and still votes would count as one that is down."""
        if host.role == "control_plane":
            found = etcd.members(self._etcd_list(etcd.members_command(), (host.name,)))
            for member in (m for m in found if m.name == host.name or str(host.address) in m.addresses):
                permit.demand()
                done = self._on_control_plane(etcd.remove_command(member), (host.name,))
                if done.code != 0:
                    raise Unreachable("etcd did not remove a member", where=host.name, why=done.err.strip()[-300:])
        with self._api() as api:
            api.nodes.delete(host.name)

    def _etcd_list(self, command: list[str], without: Sequence[str], last: Sequence[str] = ()) -> str:
        """What etcdctl lists. Unreachable when it prints nothing, as while a leader is elected: trying again helps."""
        done = self._on_control_plane(command, without, last)
        if not done.out.strip():
            why = done.err.strip()[-300:] or f"etcdctl printed nothing; exit code {done.code}"
            raise Unreachable(f"etcd of cluster {self._name} does not answer", why=why)
        return done.out

    def _on_control_plane(self, command: list[str], without: Sequence[str], last: Sequence[str] = ()) -> CommandResult:
        """Run a command on a control plane whose API server is ready; Unreachable when there is none.

        `last`: hosts that are tried where no API server is: etcd may be well without one.
        """
        hosts = [name for name in self.live() if name not in without] or list(last)
        for name in hosts:
            try:
                return self._ssh(self._dc.hosts[name], command)
            except Unreachable:
                continue
        asked = ", ".join(hosts) or "no control plane has an API server that is ready"
        raise Unreachable(f"no control plane of cluster {self._name} can be asked", why=asked)

    def nodes(self) -> Mapping[str, NodeState]:
        with self._api() as api:
            return dict(api.nodes.readiness())

    def made_with(self) -> Mapping[str, str]:
        with self._api() as api:
            return made_with(api.nodes.kubeadm_configuration())

    def approve(self) -> Sequence[csr.Decision]:
        with self._api() as api:
            return csr.approve(api.approvals, api.nodes.readiness, self._addresses)

    def waiting(self) -> Sequence[csr.Decision]:
        with self._api() as api:
            return csr.waiting(api.approvals, api.nodes.readiness, self._addresses)

    @property
    def _addresses(self) -> dict[str, str]:
        """Of hosts whose certificates may be approved: those that were removed get none."""
        removed = RetiredRecord.load_all(self._journal)
        return {h.name: str(h.address) for h in self._dc.members(self._name) if h.name not in removed}

    def serving(self, hosts: Sequence[Host]) -> frozenset[str]:
        with self._api() as api:
            authority = api.authority()
        with ThreadPoolExecutor(min(16, len(hosts) or 1)) as pool:
            found = pool.map(lambda host: csr.serves(str(host.address), authority), hosts)
            return frozenset(host.name for host, good in zip(hosts, found, strict=True) if good)

    def policies(self) -> Policies:
        with self._api() as api:
            wrong = policy.differing(self._wanted(api), api.policies.objects()) or automatic(*api.policies.roles())
            return "stale" if wrong else "current"

    def apply_policies(self) -> Sequence[str]:
        """What differs, and only that: a policy that is as it should be is not touched."""
        with self._api() as api:
            wanted = self._wanted(api)
            wrong = policy.differing(wanted, api.policies.objects())
            for body in wanted:
                if policy.key(body) in wrong:
                    api.apply(addons.completed(body, self._pair.data))
            mine = {policy.key(body) for body in wanted}
            for name in wrong:
                if name not in mine:
                    kind, *namespace, last = name.split("/")
                    api.policies.delete(kind, last, *namespace)
            bindings = automatic(*api.policies.roles())
            for name in bindings:
                api.policies.delete_binding(name)
        return [*wrong, *(f"ClusterRoleBinding/{name}" for name in bindings)]

    def evidence(self) -> Mapping[str, Any]:
        with self._api() as api:
            return {**api.policies.evidence(), "wanted": tuple(self._wanted(api))}

    def _wanted(self, api: Api) -> list[Object]:
        return wanted_policies(self._dc, self._name, self._images, api.policies.namespaces(), self._pair.certificate)

    @cached_property
    def _pair(self) -> MetricsPair:
        return metrics_pair(self._dc.state, self._name)

    def repair_drift(self, found: Sequence[Drifted]) -> None:
        with self._api() as api:
            nodes = {n["metadata"]["name"]: n for n in api.nodes.objects()}
            for name, patch in node_patches(nodes, found).items():
                api.nodes.patch(name, patch)
            for name in sorted({d.id for d in found if d.kind == "bindings"}):
                _restore_binding(api, name)
        if any(d.kind == "policies" for d in found):
            self.apply_policies()

    def smoke(self, only: Host | None = None) -> Sequence[Check]:
        """Pods on the nodes there are: a host that failed before it joined is not the cluster's fault, and one that
        most actions leave alone runs none.

        `only`: on this one, and on another one that it asks, whose own troubles are not told.
        """
        image = self._images.get(_SMOKE)
        if image is None:
            raise BmkError("the mirror has no image for the smoke test", hint="bmk artifacts sync")
        with self._api() as api:
            alone, seen = left_alone(self._journal, self._dc.name), api.nodes.readiness()
            members = {h.name for h in self._dc.members(self._name) if h.name not in alone}
            there = [name for name in seen if name in members]
            if only is not None:
                others = [name for name in there if seen[name] == "ready" and name != only.name]
                there = [only.name, *others[:1]]
            rows = smoke.run(api, self._proof(there, image, self._enforced(api, there)))
            held = {str(r.host): r.ok for r in rows if r.name == smoke.POLICY}
            if only is None:
                self._journal.record(self._name, PROOF, {"at": time.time(), "holds": held})
            about = [r for r in rows if only is None or r.host in (None, only.name)]
            return [Check(r.name, r.ok, r.detail, r.host) for r in about]

    def _proof(self, nodes: Sequence[str], image: str, enforced: Sequence[str]) -> Proof:
        """A name that nodes have to know anyway is asked, else what the deployer is called: no answer is one, too."""
        networks = [host.network for host in self._dc.members(self._name)]
        names = [server for network in networks for server in network.ntp if server not in network.ntp_addresses]
        name = next(iter(names), str(self._dc.spec.deployer.address))
        return Proof(nodes, image, name, f"{base_url(self._dc)}/healthz", enforced, self._patience)

    def _enforced(self, api: Api, nodes: Sequence[str]) -> list[str]:
        """Nodes on which a NetworkPolicy must hold: the hardening report says of the others that none does."""
        if not self._dc.cluster(self._name).network.enforces:
            return []
        unable = unable_nodes(api.nodes.objects())
        return [name for name in nodes if name not in unable]

    def _api(self) -> Api:
        if not self._kubeconfig.exists():
            hint = f"bmk kubeconfig {self._dc.name} {self._name}"
            raise Unreachable("there is no kubeconfig of this cluster yet", where=str(self._kubeconfig), hint=hint)
        return Api(self._kubeconfig, self._seconds)


def _restore_binding(api: Api, binding: str) -> None:
    """What kubeadm made is made anew, others go."""
    if binding in ADMINISTRATORS:
        api.apply(administrator(binding))
    else:
        namespace, _, name = binding.rpartition("/")
        api.policies.delete_binding(name, namespace)
