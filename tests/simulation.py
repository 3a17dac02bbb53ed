"""A data center in memory: machines with BMCs and disks, a boot service that asks real grants, Ansible and a cluster.

Machines live on their own (as real ones do) while runs of bmk come, die and go. Journal and grants are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bmk.actions.certs_renew import RENEW, new_orders, order_renewal
from bmk.actions.maintenance import BEGIN, END, maintenance_of, order_maintenance
from bmk.actions.provision import PROVISION
from bmk.actions.reinstall import order_reinstall
from bmk.actions.remove import REMOVE, order_removal, removal_of
from bmk.actions.reset import RESET, order_reset, reset_of
from bmk.actions.rotate_encryption_key import ROTATE, order_rotation, rotation_orders
from bmk.actions.upgrade import UPGRADE, begin_upgrade, finish_upgrade
from bmk.agent import AgentError
from bmk.agent.hardware import one_line
from bmk.agent.nonces import choose, console, opened
from bmk.agent.proof import NONCE, ProofKey
from bmk.bmc.protocol import Identity, Inventory
from bmk.boot import grants
from bmk.boot.attestation import NotYet, Sent, Unproven, check
from bmk.boot.grants import GrantedImage, Taken
from bmk.boot.nonces import Nonces
from bmk.certificates.certificate import Certificate
from bmk.certificates.kinds.deployer import KUBECONFIG
from bmk.certificates.renewal import RenewStep
from bmk.certificates.standing import CertificateStanding, FileSeen, HostCertificates, ObservedCertificate, judge
from bmk.cluster.csr import Decision
from bmk.datacenter.resolve import DataCenter, Host, with_versions
from bmk.drift.baseline import Baseline, store
from bmk.encryption.keys import KeyText, PlaneKeys, Sweep
from bmk.engine.action import Action
from bmk.engine.executor import Outcome
from bmk.engine.run import RunLimits
from bmk.engine.services import Check, Converge
from bmk.engine.session import Options, RunSetup, new_run_id, perform
from bmk.errors import BmcError, BmcIgnores, BmcRefuses, BmkError, PhaseFailed, PreflightRefused, Unreachable
from bmk.journal import Event, Journal
from bmk.journal.records import (
    MaintenanceRecord,
    ReinstallOrder,
    RenewalOrder,
    ResetOrder,
    RetiredRecord,
)
from bmk.journal.sinks import Sink
from bmk.live.observe import observe
from bmk.live.observe_certificates import certificates_look
from bmk.live.observe_encryption import keys_look
from bmk.live.upgrade_service import see, upgrade_look
from bmk.plan import Plan, build_plan
from bmk.plan.actual import Observation
from bmk.upgrade.decide import UpgradePlan, decide
from bmk.upgrade.model import NodeVersions, Stage, Workloads
from bmk.upgrade.versions import version
from tests.pki import Pki
from tests.vault import Stored, Vault, known, of_text, text

ROOT = Path(__file__).resolve().parents[1]
IMAGE = GrantedImage("node-image", "f" * 64, "e" * 64)
FAST = RunLimits(threads=8, attempts=2, window=0.01, backoff=0.005, grace=0.05, health=30.0)


class Killed(BaseException):
    """The process of bmk is dead: nothing it does has an effect any more."""


class Life:
    """Counts everything a run does to the outside; dies before or after the n-th thing."""

    def __init__(self, budget: int | None = None) -> None:
        self.left, self.used, self.dead = budget, 0, False

    def spend(self) -> None:
        self.used += 1
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise Killed


class MortalJournal(Journal):
    """The journal as a process sees it that may be killed before or after any write."""

    life = Life()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.life.spend()
        with super().transaction() as db:
            yield db
        self.life.spend()


@dataclass
class Machine:
    """A machine with its own will. `faults` make it misbehave; counters say what was done to it."""

    host: Host
    power: str = "off"
    boot_once: str | None = None
    disk: str = ""  # what the disk holds: "", "half", an image's sha256, or foreign data
    system: str = ""  # what runs: "", "ramdisk", "disk"
    steps: int = 0
    grant: str = ""
    token: str = ""
    wipes: int = 0
    cycles: int = 0
    refusals: int = 0
    configured: int = 0
    inits: int = 0
    joins: int = 0
    node: bool = False  # the API knows it
    member: bool = False  # what is on its disk takes part in the cluster
    drained: bool = False
    half: bool = False  # kubeadm init was begun here and not finished
    asks: bool = False  # its kubelet waits for the client certificate that its ticket asked for
    approved: bool = False  # its serving certificate
    cleaned: int = 0
    left: dict[str, bytes] = field(default_factory=dict)  # what its BMC holds for it, by way
    seen_by: list[str] = field(default_factory=list)  # what ran on it when its BMC got a secret
    console: bytes = b""
    spare: dict[str, bytes] = field(default_factory=dict)  # nonces that it made itself, by grant
    faults: set[str] = field(default_factory=set)
    pki: Pki = field(default_factory=Pki)
    kubelet: str = ""  # its version
    api_server: str = ""
    cordoned: bool = False
    upgrades: int = 0  # by kubeadm
    drains: int = 0
    vault: Vault = field(default_factory=Vault)

    @property
    def votes(self) -> bool:
        """Its member of etcd runs."""
        return self.serves and self.pki.up("etcd")

    @property
    def serves(self) -> bool:
        """What is on its disk runs, as a part of the cluster; its API server long before kubeadm init is done."""
        return self.system == "disk" and (self.member or self.half)


class FakeBmc:
    """Answers for one machine as a BMC would; every write can be read back."""

    def __init__(self, simulation: Simulation, machine: Machine) -> None:
        self._simulation, self._m = simulation, machine

    def _reach(self) -> None:
        if "bmc-dead" in self._m.faults:
            raise BmcError("the BMC does not answer", where=str(self._m.host.bmc_address), hint="reset it")
        if "bmc-refuses" in self._m.faults:
            self._m.refusals += 1
            raise BmcRefuses("the BMC refuses this username and password", where=str(self._m.host.bmc_address))
        if "bmc-503-once" in self._m.faults:
            self._m.faults.discard("bmc-503-once")
            raise BmcError("503 Service Unavailable", where=str(self._m.host.bmc_address))

    def identity(self) -> Identity:
        self._reach()
        serial = "OTHER" if "wrong-serial" in self._m.faults else self._m.host.serial
        return Identity(uuid=self._m.host.uuid, serial=serial, macs=(self._m.host.mac,))

    def inventory(self) -> Inventory:
        self._reach()
        return Inventory()

    def power(self) -> str:
        self._reach()
        return self._m.power

    def set_power(self, action: str) -> None:
        self._reach()
        self._simulation.life.spend()
        had = self._simulation.has_quorum()
        with self._simulation.moving:
            self._change_power(action)
        if had and not self._simulation.begins_anew():
            self._simulation.check_quorum()
        self._simulation.life.spend()

    def _change_power(self, action: str) -> None:
        if action == "ask-off" and "hangs-at-the-end" in self._m.faults:
            raise BmcIgnores("the machine did not shut down, and its power was not cut", why="asked 300 s ago")
        action = "off" if action in ("ask-off", "shutdown") else action
        self._m.cycles += action == "cycle" or (action == "off" and self._m.power == "on")
        if action == "off" and "claims-as-it-goes-off" in self._m.faults:
            self._m.faults.discard("claims-as-it-goes-off")
            self._simulation.claim_blindly(self._m)
        if action != "on" or self._m.power != "on":
            self._m.power, self._m.system = ("off", "") if action == "off" else ("on", "firmware")
            self._m.steps = 0

    def set_boot_once(self, target: str, firmware: str) -> None:
        self._reach()
        self._simulation.life.spend()
        self._m.boot_once = target

    def clear_boot_once(self) -> None:
        self._reach()
        self._m.boot_once = None

    def boot_override(self) -> str:
        self._reach()
        return self._m.boot_once or ""

    def write_mailbox(self, data: bytes) -> None:
        self._leave("mailbox", data)

    def insert_media(self, data: bytes) -> None:
        self._leave("media", data)

    def eject_media(self) -> None:
        self._leave("media", b"")

    def _leave(self, way: str, data: bytes) -> None:
        self._reach()
        if "bmc-carries-nothing" in self._m.faults:
            raise BmcIgnores(f"this BMC has no {way}", hint="set `attest: {way: console}` in the profile")
        self._simulation.life.spend()
        self._m.left[way] = data
        self._m.seen_by += [self._m.system] if data else []
        self._simulation.life.spend()

    def event_log(self) -> list[Any]:
        return []

    def disconnect(self) -> None:
        """Nothing is held."""

    def console(self, path: Path, stop: Callable[[], bool]) -> None:
        """What it prints from now on, as serial-over-LAN does."""
        place = len(self._m.console)
        with path.open("ab", buffering=0) as file:
            while not stop():
                text = self._m.console[place:]
                file.write(text)
                place += len(text)
                time.sleep(0.002)


@dataclass
class Result:
    """One host's part of a converge."""

    ok: bool = True
    changed: int = 1
    failed_task: str | None = None
    message: str = ""
    tail: str = ""


class FakeCluster:
    """One API server: there when a control plane has begun it."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self._simulation, self._name = simulation, name

    def _machines(self) -> list[Machine]:
        return [m for m in self._simulation.machines.values() if m.host.cluster == self._name]

    def live(self) -> Sequence[str]:
        planes = [m for m in self._machines() if m.host.role == "control_plane" and m.serves]
        return [m.host.name for m in planes if m.pki.up("kube-apiserver")]

    def etcd(self) -> Mapping[str, bool]:
        self.nodes()
        return {name: self._simulation.machines[name].votes for name in self._simulation.etcd}

    def drain(self, host: Host, seconds: float) -> None:
        self.nodes()
        self._simulation.life.spend()
        m = self._simulation.machines[host.name]
        m.cordoned = m.drained = True
        self._simulation.check_skew()
        if "pod-stays" in m.faults:
            raise PhaseFailed(
                f"1 pods did not leave node {host.name}", why="shop/db-0: a disruption budget", where=host.name
            )
        m.drains += 1
        self._simulation.life.spend()

    def uncordon(self, host: Host) -> None:
        self.nodes()
        self._simulation.life.spend()
        self._simulation.machines[host.name].cordoned = False
        self._simulation.machines[host.name].drained = False
        self._simulation.life.spend()

    def versions(self) -> Mapping[str, NodeVersions]:
        ready = self.nodes()
        for m in self._machines():
            m.pki.look(m.host.name, m.faults)  # time passes by being looked at
        return {
            m.host.name: NodeVersions(
                f"v{m.kubelet}",
                ready[m.host.name] == "ready" and "kubelet-broken" not in m.faults,
                m.cordoned,
                f"v{m.api_server}" if m.host.name in self.live() else "",
            )
            for m in self._machines()
            if m.node
        }

    def workloads(self) -> tuple[Workloads, Sequence[str]]:
        self.nodes()
        return self._simulation.workloads, ()

    def remove(self, host: Host) -> None:
        """etcd needs the word of a majority, also for this."""
        self.nodes()
        self._simulation.life.spend()
        self._simulation.check_quorum()
        self._simulation.etcd.discard(host.name)
        self._simulation.machines[host.name].node = False
        self._simulation.life.spend()

    def nodes(self) -> Mapping[str, Any]:
        if not self.live():
            raise Unreachable("no API server answers", where=self._name)
        known = [m for m in self._machines() if m.node]
        return {m.host.name: "ready" if m.serves else "not-ready" for m in known}  # before its certificate is approved

    def made_with(self) -> Mapping[str, str]:
        self.nodes()
        return {}

    def approve(self) -> Sequence[Decision]:
        """Every request that waits: of joins for their client certificate, of nodes for the serving one."""
        answers = []
        for m in self._simulation.machines.values():
            if m.host.cluster == self._name and m.asks:
                m.asks = False
                answers.append(Decision(f"client-{m.host.name}", m.host.name, "client"))
            elif m.node and m.serves and m.host.cluster == self._name and not m.approved:
                m.approved = True
                answers.append(Decision(f"serving-{m.host.name}", m.host.name, "serving"))
        return answers

    def waiting(self) -> Sequence[Decision]:
        self.nodes()
        asking = [m for m in self._machines() if m.node and m.serves and not m.approved]
        return [Decision(f"serving-{m.host.name}", m.host.name, "serving") for m in asking]

    def serving(self, hosts: Sequence[Host]) -> frozenset[str]:
        return frozenset(h.name for h in hosts if self._simulation.machines[h.name].approved)

    def policies(self) -> Any:
        if self._name in self._simulation.odd:
            raise KeyError("spec")
        self.nodes()
        return "current" if self._name in self._simulation.policies_applied else "stale"

    def apply_policies(self) -> Sequence[str]:
        self.nodes()
        if self._name in self._simulation.policies_applied:
            return []
        self._simulation.life.spend()
        if "policies-refused" in self._simulation.faults:
            raise BmkError("the Kubernetes API refused", where=self._name)
        self._simulation.policies_applied.add(self._name)
        return ["bmk-nonroot-group"]

    def evidence(self) -> Mapping[str, Any]:
        return {}

    def repair_drift(self, found: Sequence[Any]) -> None:
        self._simulation.drift_repaired += [d.id for d in found]

    def smoke(self, only: Host | None = None) -> Sequence[Check]:
        self._simulation.smokes += 1
        if only is not None:
            m = self._simulation.machines[only.name]
            return [Check("pod", "pods-broken" not in m.faults, "of this node", only.name)]
        whole = Check("dns", "dns-broken" not in self._simulation.faults, "as it should be")
        nodes = [m for m in self._simulation.machines.values() if m.node]
        return [whole, *(Check("pod", "pods-broken" not in m.faults, "of this node", m.host.name) for m in nodes)]


class Simulation:
    """All machines, and the Services that a run uses. `life` is of the running bmk process."""

    def __init__(self, dc: DataCenter, path: Path) -> None:
        self.dc = dc
        self.machines = {h.name: Machine(h) for h in dc.hosts.values()}
        self.service = Journal.open(path)  # the boot service's own connection: it outlives runs
        self.path = path
        self.life = Life()
        self.smokes = 0
        self.drift_repaired: list[str] = []
        self.faults: set[str] = set()
        self.policies_applied: set[str] = set()
        self.batches: list[tuple[str, tuple[str, ...]]] = []
        self.digest = "d1"
        self.stale: tuple[Plan, Observation] | None = None  # what was seen earlier, for a run that is late
        self.etcd: set[str] = set()  # members of the one cluster's etcd
        self.odd: set[str] = set()  # clusters whose API answers what nobody understands
        self.kubeconfig: Certificate | None = None  # the deployer's
        self.moving = threading.RLock()  # a BMC changes no machine in the middle of one of its steps
        self.workloads = Workloads()
        self.backups: list[str] = []
        self.away_at_once = 0  # most workers that took no pods at a time
        self.secrets: dict[str, Stored] = {}  # by name, with the key that each is under
        self.clients = 0  # secrets that clients write, in turn, through one API server after the other
        self.slow_looks = 0  # steps that the machines make while one of them is looked at

    # Services
    def kubelet_error(self, host: Host) -> str:
        return ""

    def bmc(self, host: Host) -> FakeBmc:
        return FakeBmc(self, self.machines[host.name])

    def power(self, host: Host) -> Any:
        """Looking takes time, and machines go on meanwhile."""
        for _ in range(self.slow_looks):
            self.tick()
        return self.bmc(host).power()

    def image(self) -> GrantedImage:
        return IMAGE

    def ssh(self, host: Host) -> Any:
        m = self.machines[host.name]
        return "ok" if m.system == "disk" and m.disk == IMAGE[1] and "no-ssh" not in m.faults else "silent"

    def wanted(self, host: Host) -> str:
        return f"{self.digest} {self.version(host)}"

    def version(self, host: Host) -> str:
        """Of Kubernetes, as the file has it."""
        return self.dc.cluster(host.cluster).kubernetes.version if host.cluster else ""

    def back_up(self, cluster: str) -> str:
        self.life.spend()
        if "backup-fails" in self.faults:
            raise BmkError("the place for backups refuses", where=cluster)
        wanted = self.dc.cluster(cluster).kubernetes.version
        assert not any(wanted in (m.api_server, m.kubelet) for m in self.machines.values()), "it comes too late"
        self.backups.append(cluster)
        self.life.spend()
        return f"backup-{len(self.backups)}"

    def cluster(self, name: str) -> FakeCluster:
        return FakeCluster(self, name)

    def certificates(self, host: Host) -> HostCertificates:
        m = self.machines[host.name]
        return m.pki.look(host.name, m.faults)

    def renew_certificates(self, host: Host, step: RenewStep) -> None:
        self.life.spend()
        m = self.machines[host.name]
        if "kubeadm-fails" in m.faults:
            raise PhaseFailed("apiserver was not renewed", where=host.name, why="no space left on device")
        away = [o.host.name for o in self.machines.values() if o is not m and o.pki.down]
        assert not (step.program and away), f"{host.name} begins while {away} are away"
        assert not (step.program and m.pki.down), "two static pods at a time"
        for name in step.renew:
            m.pki.renew(name)
            self.life.spend()
        if step.program:
            m.pki.restart(step.program)
            if not self.alone:
                self.check_quorum()
        self.life.spend()

    @property
    def alone(self) -> bool:
        """A cluster of which one control plane is all: its restart is a pause."""
        return len(self.etcd) == 1

    def kubeconfig_standing(self, cluster: str) -> CertificateStanding | None:
        seen = ObservedCertificate(FileSeen(self.kubeconfig)) if self.kubeconfig is not None else ObservedCertificate()
        return judge(self.dc.name, cluster, KUBECONFIG, seen, time.time())

    def forget_kubeconfig(self, cluster: str) -> None:
        self.life.spend()
        self.kubeconfig = None
        self.life.spend()

    def renew_kubeconfig(self, cluster: str) -> None:
        self.life.spend()
        found = [m.pki.files["admin.conf"] for m in self.machines.values() if m.host.name in self.etcd]
        self.kubeconfig = max(found, key=lambda one: one.ends)
        self.life.spend()

    def keys_at_rest(self, host: Host) -> PlaneKeys:
        """Time passes by being looked at."""
        m = self.machines[host.name]
        if not m.serves:
            raise Unreachable("ssh does not answer", where=host.name)
        before = m.pki.began["kube-apiserver"]
        with self.moving:
            m.pki.look(host.name, m.faults)
            if m.pki.began["kube-apiserver"] != before:
                m.vault.begins_anew()
        return m.vault.seen(host.name, m.pki.began["kube-apiserver"], up=m.pki.up("kube-apiserver"))

    def key_text(self, hosts: Sequence[Host], names: Sequence[str], fresh: str) -> KeyText:
        return text([self.machines[host.name].vault for host in hosts], names, fresh)

    def put_keys(self, host: Host, found: KeyText, before: str) -> None:
        self.life.spend()
        m = self.machines[host.name]
        with self.moving:
            assert before == m.vault.seen(host.name, 0, up=True).sha256, "put over what was not seen"
            m.vault.file, m.vault.noted = of_text(found.text.reveal()), None
            assert known(self.service, str(host.cluster), found), "drift does not know it"
        self.life.spend()
        m.vault.noted = m.pki.clock
        self.life.spend()

    def restart_api_server(self, host: Host) -> None:
        self.life.spend()
        m = self.machines[host.name]
        away = [o.host.name for o in self.machines.values() if o is not m and o.pki.down]
        assert not away, f"{host.name} begins while {away} are away"
        m.vault.noted = m.pki.clock
        self.life.spend()
        m.pki.restart("kube-apiserver")
        self.life.spend()

    def sweep_secrets(self, host: Host, key: str, after: str) -> Sweep:
        """Three at a time."""
        self.life.spend()
        m, seen, rewritten, failed = self.machines[host.name], dict[str, int](), 0, list[tuple[str, str]]()
        names = sorted(name for name in self.secrets if name > after)
        for name in names[:3]:
            with self.moving:
                under, _ = self.secrets[name]
                seen[under] = seen.get(under, 0) + 1
                if key and under != key and "webhook-denies" in self.faults:
                    failed.append((name, "403 denied"))
                elif key and under != key:
                    self.secrets[name] = m.vault.read[0]
                    rewritten += 1
            if key and under != key:
                self.life.spend()
        return Sweep(seen, rewritten, failed, names[2] if len(names) > 3 else "", 1)

    def forget_history(self, host: Host, revision: int) -> None:
        self.life.spend()

    def accept_keys(self, host: Host, sha256: str) -> None:
        self.life.spend()
        self.machines[host.name].vault.accepted = sha256

    def _clients(self) -> None:
        """One writes through one API server, and all read everything; some API servers begin anew by themselves."""
        up = [m for m in self.machines.values() if m.vault.read and m.serves and m.pki.up("kube-apiserver")]
        for m in up:
            if "api-ends" in m.faults and secrets.randbelow(4) == 0:
                m.vault.begins_anew()
        if self.clients and up:
            turn = secrets.randbelow(self.clients)
            self.secrets[f"s{turn:03}"] = up[turn % len(up)].vault.read[0]
        for m in up:
            lost = [name for name, key in self.secrets.items() if key not in m.vault.read]
            assert not lost, f"{m.host.name} cannot read {lost}"

    def sign_baselines(self, hosts: Sequence[str]) -> Mapping[str, None]:
        """What a real seal leaves in the journal."""
        self.life.spend()
        for name in hosts:
            assert self.machines[name].configured, "signed before it was configured"
            store(self.service, Baseline(name, time.time(), self.wanted(self.dc.hosts[name])))
        self.life.spend()
        return dict.fromkeys(hosts)

    async def converge(self, request: Converge, on_event: Callable[[Event], None]) -> Mapping[str, Result]:
        self.life.spend()
        self.batches.append((request.playbook, request.hosts))
        for name in request.hosts:
            self._begin(request.playbook, self.machines[name])
        self.life.spend()
        await asyncio.sleep(0.005)
        await self._approved([self.machines[name] for name in request.hosts])
        results = {
            name: self._converge(request.playbook, self.machines[name], request.variables) for name in request.hosts
        }
        self.life.spend()
        return results

    def _converge(self, playbook: str, m: Machine, variables: Mapping[str, Any]) -> Result:
        if f"fail-{playbook}" in m.faults:
            return Result(False, 0, "Start kubelet", "unit kubelet.service failed")
        if m.asks:
            return Result(False, 0, "Join with the ticket", "timed out waiting for the TLS bootstrap")
        if playbook == "leave.yml":
            self._leave(m, for_good=variables["bmk_for_good"])
        elif playbook == "configure.yml":
            m.configured += 1
            m.kubelet = self.version(m.host)
            m.api_server = m.api_server or (m.kubelet if m.host.role == "control_plane" else "")
            self.check_skew()
        elif playbook == "upgrade.yml":
            self._upgrade(m)
        elif m.half or not m.member:
            assert (playbook == "init.yml") != bool(variables.get("bmk_via")), "joined without an API"
            others = [o for o in self.machines.values() if o.half and o is not m]
            assert not others, "joined a cluster that is only half begun"
            m.inits += playbook == "init.yml"
            m.joins += playbook == "join.yml"
            assert not (m.node and not m.half), "joined beside the node that it was before"
            assert m.half or m.host.name not in self.etcd, "joined beside the member of etcd that it was before"
            m.node, m.member, m.half, m.drained, m.cordoned = True, True, False, False, False  # a new node
            if m.host.role == "control_plane":
                m.vault.begin([o.vault for o in self.machines.values() if o.host.name in self.etcd and o is not m])
                self.etcd |= {m.host.name}
            self.check_quorum()
        return Result()

    def _leave(self, m: Machine, *, for_good: bool) -> None:
        """Kubernetes off a host: alone it has to be out of etcd before, or the others would count on it."""
        ends = m.host.name in ResetOrder.load_all(self.service)
        assert not for_good or ends or m.host.name not in self.etcd, "taken off while etcd counts on it"
        m.member = m.half = m.asks = m.approved = False
        m.cleaned += 1

    def _upgrade(self, m: Machine) -> None:
        """kubeadm, on a host whose pods have left: a control plane's pods begin anew, and the kubelet stays."""
        assert m.cordoned, "upgraded while it takes pods"
        others = [o.host.name for o in self.machines.values() if o is not m and o.host.role == "control_plane"]
        if m.host.role == "control_plane":
            away = [name for name in others if not self.machines[name].votes]
            assert not away, f"{m.host.name} begins while {away} are away"
            if m.api_server != self.version(m.host):
                m.pki.restart("etcd")
                m.pki.restart("kube-apiserver")
                self.check_quorum()
            m.api_server = self.version(m.host)
        m.upgrades += 1
        self.check_skew()

    def check_skew(self) -> None:
        """No kubelet newer than an API server that it talks to: its own of a control plane, any of the others'.

        Nothing is ever two minor versions apart. One control plane is away at a time.
        """
        there = [m for m in self.machines.values() if m.member and m.kubelet]
        servers = {m.host.name: version(m.api_server) for m in there if m.api_server}
        for m in there:
            mine = [servers[m.host.name]] if m.host.name in servers else list(servers.values())
            kubelet = version(m.kubelet)
            assert kubelet is not None
            for server in mine:
                assert server is not None
                assert kubelet <= server, f"{m.host.name}: kubelet {kubelet} beside {server}"
            assert all(abs(kubelet.minor - s.minor) <= 1 for s in servers.values() if s), "two minor versions apart"
        workers = [m for m in there if m.host.role == "worker" and m.cordoned]
        planes = [m for m in there if m.host.role == "control_plane" and m.cordoned]
        assert len(planes) <= 1, f"away at the same time: {[m.host.name for m in planes]}"
        self.away_at_once = max(self.away_at_once, len(workers))

    def _begin(self, playbook: str, m: Machine) -> None:
        """kubeadm init brings an API server up long before it is done; done over, it loses whoever joined."""
        if playbook == "init.yml" and f"fail-{playbook}" not in m.faults and (m.half or not m.member):
            assert not [o for o in self.machines.values() if o.serves and o is not m], "began a second cluster"
            for other in self.machines.values():  # an API of its own, which knows nobody
                other.node = other is m
            m.half, self.etcd = True, {m.host.name}
        m.asks = playbook == "join.yml" and not m.member

    async def _approved(self, joining: Sequence[Machine]) -> None:
        """kubeadm waits for the certificate that its ticket asked for, for seconds, then gives up."""
        for _ in range(2000):
            if not any(m.asks for m in joining):
                return
            await asyncio.sleep(0.005)

    def claim_blindly(self, m: Machine) -> None:
        """A claim that arrives while nobody looks, and whose machine is gone right after it."""
        grant = grants.current(self.service, m.host.name, time.time())
        assert grant is not None
        grants.claim(self.service, grant.id, secrets.token_hex(16), Taken("", "{}", "{}"), time.time())

    def check_quorum(self) -> None:
        """Whatever a run does, a majority of etcd's members goes on."""
        assert self.has_quorum(), f"etcd has lost its quorum: members are {sorted(self.etcd)}"

    def has_quorum(self) -> bool:
        return sum(self.machines[name].votes for name in self.etcd) >= len(self.etcd) // 2 + 1

    def begins_anew(self) -> bool:
        """Every member of etcd is to be installed again: nothing goes on."""
        return self.etcd <= ReinstallOrder.load_all(self.service).keys()

    def replace(self, name: str, serial: str) -> None:
        """Somebody puts another machine in the place of this one, switched off, and writes it into the file."""
        disk = self.dc.hosts[name].disk.model_copy(update={"serial": f"DISK-{serial}"})
        host = replace(self.dc.hosts[name], serial=serial, uuid=None, disk=disk)
        self.dc = replace(self.dc, hosts={**self.dc.hosts, name: host})
        self.machines[name] = Machine(host, node=self.machines[name].node)

    # the machines' own life
    def tick(self) -> None:
        with self.moving:
            self._clients()
        for m in self.machines.values():
            with self.moving:
                if m.power == "on":
                    self._step(m)

    def _step(self, m: Machine) -> None:
        m.steps += 1
        if m.system == "firmware":
            self._firmware(m)
        elif m.system == "ramdisk" and m.steps > 2 and "ramdisk-hangs" not in m.faults:
            self._ramdisk(m)

    def _firmware(self, m: Machine) -> None:
        once, m.boot_once = m.boot_once, None
        if once is None or "ignores-override" in m.faults:
            m.system = "disk" if m.disk == IMAGE[1] else "firmware-prompt"
            return
        if "no-dhcp" in m.faults:
            m.system = "firmware-prompt"
            return
        self._say(m, "dhcp", "dhcp.discover", "DHCPDISCOVER")
        grant = grants.current(self.service, m.host.name, time.time())
        decision = "install" if grant is not None and grant.claimed is None else "local"
        self._say(m, "http", "boot.answered", decision, decision=decision)
        m.system = "disk" if m.disk == IMAGE[1] else "firmware-prompt"
        if grant is not None and decision == "install":
            m.system, m.grant, m.steps = "ramdisk", grant.id, 0

    def _ramdisk(self, m: Machine) -> None:
        if m.steps == 3:
            self._claim(m)
            return
        self._say(m, "agent", "image.progress", f"wrote {m.steps} MB", bytes=m.steps)
        if "another-prints" in m.faults:
            m.console += one_line(console.line(m.grant, os.urandom(NONCE))).encode()
            m.steps = 4
            return
        if "dies-mid-write" in m.faults:
            m.faults.discard("dies-mid-write")
            m.disk, m.system, m.wipes = "half", "firmware-prompt", m.wipes + 1
        elif m.steps == 6:
            self._done(m)

    def _proven(self, m: Machine) -> bool:
        """As ramdisk and boot service do it: what the machine has of its BMC against what the deployer put there."""
        grant = grants.get(self.service, m.grant)
        try:
            nonce = self._printed(m) if grant.attest == "console" else choose(opened(m.left), grant.attest)
            proof = ProofKey.derive(nonce, grant.id).request("claim", b"") if nonce else ""
            check(Nonces.of(self.service), grant, Sent("claim", b"", proof))
        except NotYet:
            m.steps = 2  # it asks again
            return False
        except (AgentError, Unproven) as error:
            self._say(m, "http", "agent.refused", f"claim refused: {error}")
            m.system = "firmware-prompt"
            return False
        return True

    def _printed(self, m: Machine) -> bytes:
        nonce = m.spare.setdefault(m.grant, os.urandom(NONCE))
        m.console += one_line(console.line(m.grant, nonce)).encode()
        return nonce

    def _claim(self, m: Machine) -> None:
        if not self._proven(m):
            return
        try:
            m.token = secrets.token_hex(16)
            grants.claim(self.service, m.grant, m.token, Taken("", "{}", "{}"), time.time())
        except PreflightRefused as error:
            self._say(m, "agent", "claim.refused", str(error), reason=error.what)
            m.system = "firmware-prompt"
            return
        grant = grants.get(self.service, m.grant)
        holds = "" if m.disk in ("", "half") else m.disk
        disk = {"name": "sda", "serial": m.host.disk.serial, "size": 10**10, "holds": holds, "foreign": bool(holds)}
        self.service.record(m.host.name, "inspection", {"serial": m.host.serial, "disks": [disk]})
        if holds and grant.confirmed != m.host.disk.serial:
            text = f"disk holds {m.disk}"
            self._say(m, "agent", "agent.failed", text, why="not confirmed", hint="", grant=m.grant)
            grants.end(self.service, m.grant, "failed", time.time())
            m.system = "firmware-prompt"

    def _done(self, m: Machine) -> None:
        grant = grants.get(self.service, m.grant)
        if grant.ended is not None:
            m.system = "firmware-prompt"
            return
        m.disk, m.wipes = IMAGE[1], m.wipes + 1
        m.member = m.half = m.asks = m.approved = False
        record = {
            "image_sha256": IMAGE[1],
            "disk_serial": m.host.disk.serial,
            "serial": grant.serial,
            "uuid": grant.uuid,
            "grant": m.grant,
            "attest": "none" if "unproven" in m.faults else grant.attest,
        }
        grants.finish(
            self.service, m.grant, {"installed": record, "host_keys": [f"ssh-ed25519 {m.grant}"]}, time.time()
        )
        m.system = "disk"

    def _say(self, m: Machine, source: Any, kind: str, text: str, **data: Any) -> None:
        self.service.append(Event(source, kind, text, m.host.name, data=data))

    # runs of bmk
    def look(self, hosts: Sequence[str] | None = None) -> tuple[Plan, Observation]:
        names = list(hosts or self.dc.hosts)
        seen = observe(self.dc, self.service, self, names, threads=4)
        return build_plan(self.dc, PROVISION, names, seen), seen

    def provision(
        self,
        hosts: Sequence[str] | None = None,
        *,
        kill_after: int | None = None,
        sinks: Sequence[Sink] = (),
        **more: Any,
    ) -> list[Outcome]:
        """One run of `bmk provision`; raises Killed when its life ends before the run does."""
        wish = {"sinks": sinks, "limits": FAST, "poll": 0.005, **more}
        return asyncio.run(self._provision(hosts, kill_after, Options(**wish)))

    def reinstall(self, names: Sequence[str], *, kill_after: int | None = None, **more: Any) -> list[Outcome]:
        """`bmk reinstall` of these hosts, which are confirmed by being named."""
        order_reinstall(self.dc, self.service, [self.dc.hosts[name] for name in names])
        return self.provision(names, kill_after=kill_after, confirmed=frozenset(names), **more)

    def renew(
        self,
        hosts: Sequence[str] | None = None,
        *,
        everything: bool = False,
        kill_after: int | None = None,
        **more: Any,
    ) -> list[Outcome]:
        """One run of `bmk certs renew`."""
        chosen = [self.dc.hosts[name] for name in hosts or self.dc.hosts]
        known = RenewalOrder.load_all(self.service)
        orders = new_orders(self.service, chosen) if everything else known
        order_renewal(self.service, orders)
        plan, seen = self.renewal_plan(hosts, orders)
        wish = {"limits": FAST, "poll": 0.005, **more}
        return asyncio.run(self._perform(RENEW, plan, seen, kill_after, Options(**wish)))

    def renewal_plan(
        self, hosts: Sequence[str] | None = None, orders: Mapping[str, RenewalOrder] | None = None
    ) -> tuple[Plan, Observation]:
        names = list(hosts or self.dc.hosts)
        known = RenewalOrder.load_all(self.service) if orders is None else orders
        look = certificates_look(self, [self.dc.hosts[name] for name in names], known)
        seen = look(observe(self.dc, self.service, self, names, threads=4))
        return build_plan(self.dc, RENEW, names, seen), seen

    def maintain(
        self,
        names: Sequence[str],
        switch: str = "on",
        *,
        kill_after: int | None = None,
        cut: bool = False,
        limits: RunLimits = FAST,
    ) -> list[Outcome]:
        """One run of `bmk maintenance`."""
        hosts, action = [self.dc.hosts[name] for name in names], END if switch == "off" else BEGIN
        if switch == "on":
            wish = MaintenanceRecord(at=time.time(), by="me@here", reason="new fans", cut=cut)
            order_maintenance(self.service, maintenance_of(self.dc, self.service, hosts, wish))
        seen = observe(self.dc, self.service, self, names, threads=4)
        bounds = {"max_unavailable": len(names), "stop_after": len(names) + 1}
        options = Options(limits=limits, poll=0.005, rollout=bounds)
        plan = build_plan(self.dc, action, names, seen)
        return asyncio.run(self._perform(action, plan, seen, kill_after, options))

    def remove(self, names: Sequence[str], *, kill_after: int | None = None, limits: RunLimits = FAST) -> list[Outcome]:
        """One run of `bmk remove`."""
        hosts = [self.dc.hosts[name] for name in names]
        wish = RetiredRecord(at=time.time(), by="me@here", reason="too old")
        order_removal(self.service, removal_of(self.dc, self.service, hosts, wish))
        seen = observe(self.dc, self.service, self, names, threads=4)
        options = Options(limits=limits, poll=0.005, rollout={"max_unavailable": len(names), "stop_after": 99})
        plan = build_plan(self.dc, REMOVE, names, seen)
        return asyncio.run(self._perform(REMOVE, plan, seen, kill_after, options))

    def reset(self, cluster: str = "lab-ha", *, kill_after: int | None = None) -> list[Outcome]:
        """One run of `bmk reset`."""
        wanted = reset_of(self.dc, self.service, cluster, "me@here")
        order_reset(self.service, wanted)
        names = list(wanted)
        seen = observe(self.dc, self.service, self, names, threads=4)
        options, plan = Options(limits=FAST, poll=0.005), build_plan(self.dc, RESET, names, seen)
        return asyncio.run(self._perform(RESET, plan, seen, kill_after, options))

    def upgrade_plan(self, until: Stage = "all") -> UpgradePlan:
        """`bmk upgrade --plan` of the one cluster, of which all blockers that a person may accept are accepted."""
        known = ("1.36.3", "1.37.2", "1.38.0")
        found = decide("lab-ha", see(self.dc, self.service, self, "lab-ha", known), until)
        taken = tuple(replace(b, accepted=b.accepted or "a test") if b.acceptable else b for b in found.blockers)
        return replace(found, blockers=taken, saves=True)

    def upgrade(
        self, *, until: Stage = "all", without: Sequence[str] = (), kill_after: int | None = None, **more: Any
    ) -> list[Outcome]:
        """One run of `bmk upgrade`: one step on the way to what the file wants."""
        found, whole = self.upgrade_plan(until), self.dc
        assert not found.blocked, found.blocked
        if not found.target:
            return []
        begin_upgrade(self.service, found, without)
        found = self.upgrade_plan(until)
        outcomes: list[Outcome] = []
        try:
            self.dc = with_versions(whole, {"lab-ha": found.target})
            names = list(found.hosts)
            if names:
                seen = upgrade_look(self.service, [found])(observe(self.dc, self.service, self, names, threads=4))
                plan = build_plan(self.dc, UPGRADE, names, seen)
                wish = {"limits": FAST, "poll": 0.005, **more}
                outcomes = asyncio.run(self._perform(UPGRADE, plan, seen, kill_after, Options(**wish)))
        finally:
            self.dc = whole
        if all(o.error is None for o in outcomes):
            finish_upgrade(self.service, self.upgrade_plan(until))
        return outcomes

    def rotate(self, *, accepted: str = "", kill_after: int | None = None, **more: Any) -> list[Outcome]:
        """One run of `bmk certs rotate-encryption-key` of all clusters."""
        order_rotation(self.service, rotation_orders(self.service, list(self.dc.spec.clusters), accepted))
        plan, seen = self.rotation_plan()
        wish = {"limits": FAST, "poll": 0.005, **more}
        return asyncio.run(self._perform(ROTATE, plan, seen, kill_after, Options(**wish)))

    def rotation_plan(self) -> tuple[Plan, Observation]:
        look = keys_look(self.dc, self.service, self, rotation_orders(self.service, list(self.dc.spec.clusters)))
        seen = look(observe(self.dc, self.service, self, self.dc.hosts, threads=4))
        return build_plan(self.dc, ROTATE, list(self.dc.hosts), seen), seen

    async def _provision(self, hosts: Sequence[str] | None, kill_after: int | None, options: Options) -> list[Outcome]:
        plan, seen = self.stale or self.look(hosts)
        return await self._perform(PROVISION, plan, seen, kill_after, options)

    async def _perform(
        self, action: Action, plan: Plan, seen: Observation, kill_after: int | None, options: Options
    ) -> list[Outcome]:
        journal = MortalJournal.open(self.path)
        self.life = journal.life = Life(kill_after)
        run, ticking = asyncio.current_task(), asyncio.create_task(self._ticking())
        assert run is not None
        ticking.add_done_callback(lambda done: done.cancelled() or run.cancel())  # a run would wait for its machines
        try:
            return await perform(RunSetup(new_run_id(), self.dc, self, journal), action, plan, seen, options)
        except BaseExceptionGroup as group:
            raise Killed from group
        finally:
            self.life = Life()
            if ticking.done():
                ticking.result()  # raises what went wrong in the simulation itself
            ticking.cancel()

    async def _ticking(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(0.003)
