"""The real world behind `Services`: BMCs, ssh, Ansible, clusters and the mirror of one data center."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from bmk.agent.errors import AgentError
from bmk.agent.stream import HEAD, About
from bmk.ansible.manifest import PLAYBOOK, desired_digest, with_digests
from bmk.artifacts.mirror import load_mirror, open_mirror, recorded_at, release_vars
from bmk.bmc import Access, Logins, Machine, Timeouts, conversation, open_bmc
from bmk.bmc.protocol import Bmc, Power
from bmk.boot.grants import GrantedImage
from bmk.boot.server import registry_certificate, write_artifacts
from bmk.certificates.kinds.control_plane import ADMIN
from bmk.certificates.kinds.deployer import KUBECONFIG
from bmk.certificates.renewal import RenewStep
from bmk.certificates.standing import CertificateStanding, HostCertificates
from bmk.cluster.kubeconfig import credentials, kubeconfig
from bmk.datacenter.credentials import vip_keys
from bmk.datacenter.inventory import ansible_inventory, endpoint
from bmk.datacenter.resolve import DataCenter, Host, kubernetes_versions, with_versions
from bmk.datacenter.source import lock_path
from bmk.drift.collector import Keys
from bmk.drift.repair import repair_variables
from bmk.encryption.keys import KeyText, PlaneKeys, Sweep
from bmk.engine.run import Timing
from bmk.engine.services import ClusterServices, Converge, Converged
from bmk.errors import BmkError, PreflightRefused, Unreachable
from bmk.journal import Event, Journal
from bmk.live import bmc_facts, encryption_service
from bmk.live.bmc_trust import bmc_trust
from bmk.live.certificate_service import Hosts, host_certificates, own_certificates, renew_on
from bmk.live.cluster import ClusterAccess, LiveCluster
from bmk.live.drift_service import Asked, sign_baselines
from bmk.live.known_hosts import write_known_hosts
from bmk.paths import private_dir
from bmk.plan.actual import SshState
from bmk.plan.guards import RECORD, VERSION
from bmk.secrets import SecretStore
from bmk.ssh import CommandResult, Target, WrongKey, deployer_key
from bmk.ssh import run as ssh_run

NODE_IMAGE = "node-image"
BEGINNING = "init.yml"


class LiveServices:
    """Services of a data center. Opens nothing before it is asked."""

    def __init__(self, dc: DataCenter, journal: Journal, timing: Mapping[str, Timing], run_dir: Path) -> None:
        self.dc, self.journal, self.timing, self.run_dir = dc, journal, timing, run_dir
        self.state = dc.state
        self.cluster = cache(self._cluster)
        self._secrets = SecretStore(dc.source.parent, self.state)
        self._logins = Logins()
        self._served: tuple[int, GrantedImage] | None = None  # when the mirror was last recorded, and its image then
        self._serving = threading.Lock()

    def bmc(self, host: Host, patience: Timeouts = Timeouts()) -> Bmc:  # noqa: B008 - frozen
        """A BMC whose writes and retries are journaled under this host's name."""
        access = Access(
            str(host.bmc_address),
            host.profile.bmc.port,
            self._secrets.resolve(host.bmc_secret),
            bmc_trust(self.dc, host),
            Machine(host.serial, host.uuid, host.bmc_system, tuple(nic.mac for nic in host.nics)),
            notify=lambda event: self.journal.append(replace(event, host=host.name)),
            timing=patience,
            logins=self._logins,
        )
        return open_bmc(host.profile.bmc.kind, access)

    def power(self, host: Host) -> Power:
        with conversation(self.bmc(host, Timeouts(connect=4, request=8, patience=4, call=30))) as bmc:
            return bmc.power()

    def image(self) -> GrantedImage:
        with self._serving:
            recorded = recorded_at()
            if self._served is None or self._served[0] != recorded:
                self._served = (recorded, self._serve())
            return self._served[1]

    def _serve(self) -> GrantedImage:
        """The mirror's image. The boot service serves what is granted: it is told where that lies."""
        mirror = load_mirror(lock_path(self.dc.source, self.dc.spec.artifacts))
        write_artifacts(self.state, mirror.as_vars(self.dc.spec.deployer)[0])
        image = mirror.file(NODE_IMAGE)
        return GrantedImage(NODE_IMAGE, image.sha256, _raw_digest(image.local))

    def ssh(self, host: Host) -> SshState:
        try:
            answer = ssh_run(self.target(host), ["true"])
        except WrongKey:
            return "wrong-key"
        except Unreachable as error:
            return "refused" if "key" in error.what else "silent"
        return "ok" if answer.code == 0 else "refused"

    def kubelet_error(self, host: Host) -> str:
        command = ["journalctl", "--unit", "kubelet", "--lines", "200", "--output", "cat"]
        try:
            said = ssh_run(self.target(host), command).out
        except (WrongKey, Unreachable):
            return ""
        # klog's errors begin with E and the date; the text begins after the place in the source.
        errors = [line.partition("] ")[2] for line in said.splitlines() if line[:1] == "E" and line[1:5].isdigit()]
        return errors[-1] if errors else ""

    @property
    def certificate_hosts(self) -> Hosts:
        """How certificates of hosts are looked at and renewed."""
        installed = frozenset(self.journal.records("host_keys"))
        return Hosts(self.dc, self.target, self._keys, self.timing, installed)

    def _keys(self) -> Keys:
        return Keys(deployer_key(self.dc.state), write_known_hosts(self.dc, self.journal))

    def target(self, host: Host) -> Target:
        """How to log in to a host, by the keys that its installation reported."""
        keys = tuple(self.journal.facts(host.name).get("host_keys") or ())
        return Target(str(host.address), deployer_key(self.dc.state), keys)

    def wanted(self, host: Host) -> str:
        return desired_digest(self.inventory, host.name)

    async def converge(self, request: Converge, on_event: Callable[[Event], None]) -> Mapping[str, Converged]:
        from bmk.ansible.runner import ConvergeRequest, converge  # noqa: PLC0415 - half a second that most commands never need

        write_known_hosts(self.dc, self.journal)
        variables = dict(request.variables)
        if request.playbook == PLAYBOOK:
            variables |= repair_variables(self.journal, request.hosts)
        wanted = ConvergeRequest(
            request.playbook,
            request.hosts,
            with_digests(self.inventory),
            self.run_dir,
            variables,
            timeout=int(request.seconds),
            phase=request.phase,
        )
        results = await converge(wanted, on_event)
        if request.playbook == BEGINNING and results[request.hosts[0]].ok:
            await asyncio.to_thread(self.fetch_kubeconfig, self.dc.hosts[request.hosts[0]])
        return results

    def sign_baselines(self, hosts: Sequence[str]) -> Mapping[str, BmkError | None]:
        done = sign_baselines(self.dc, self.journal, [Asked(name, self.wanted(self.dc.hosts[name])) for name in hosts])
        for name, forged in done.items():
            if isinstance(forged, list) and forged:
                text = f"it had changed its record of {', '.join(forged)}; what was recorded before counts"
                self.journal.append(
                    Event("drift", "baseline.forged", text, name, level="error", data={"sections": forged})
                )
        signed = [self.dc.hosts[name] for name, answer in done.items() if not isinstance(answer, BmkError)]
        bmc_facts.mark_known_entries(
            partial(self.bmc, patience=Timeouts(connect=4, request=30, patience=30)), self.journal, signed
        )
        return {name: answer if isinstance(answer, BmkError) else None for name, answer in done.items()}

    @cached_property
    def inventory(self) -> dict[str, Any]:
        """What Ansible is told. Without a mirror the lists of artifacts are empty, and what needs them says so."""
        return ansible_inventory(self.dc, self._artifacts(), self.timing)

    def kubeconfig(self, cluster: str) -> Path:
        """Where the administrator's kubeconfig of a cluster is kept."""
        return self.state / "kubeconfig" / cluster

    def fetch_kubeconfig(self, host: Host) -> None:
        """Write the administrator's kubeconfig with the credentials that a control plane has.

        Raises Unreachable when it has none to give, BmkError when they do not hold.
        """
        answer = ssh_run(self.target(host), ["cat", "/etc/kubernetes/admin.conf"])
        if answer.code != 0:
            raise Unreachable("this host has no administrator's kubeconfig", where=host.name, why=answer.err.strip())
        cluster = host.cluster or ""
        text = kubeconfig(cluster, endpoint(self.dc, cluster), credentials(answer.out))
        path = self.kubeconfig(cluster)
        private_dir(path.parent)
        fresh = path.with_name(f".{path.name}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.replace(path)  # whoever reads it meanwhile has one or the other

    def certificates(self, host: Host) -> HostCertificates:
        return host_certificates(self.certificate_hosts, host)

    def renew_certificates(self, host: Host, step: RenewStep) -> None:
        renew_on(self.certificate_hosts, host, step)

    def kubeconfig_standing(self, cluster: str) -> CertificateStanding | None:
        found = own_certificates(self.dc, (cluster,))
        return next((s for s in found if s.kind is KUBECONFIG), None)

    def renew_kubeconfig(self, cluster: str) -> None:
        found = [(h, s) for h in self.dc.members(cluster, "control_plane") for s in self.certificates(h).standings]
        ends = [(s.file.ends, host.name) for host, s in found if s.kind is ADMIN and s.file is not None]
        if not ends:
            hint = f"bmk status {self.dc.name}"
            raise Unreachable(f"no control plane of {cluster} shows its administrator's kubeconfig", hint=hint)
        self.fetch_kubeconfig(self.dc.hosts[max(ends)[1]])

    def forget_kubeconfig(self, cluster: str) -> None:
        self.kubeconfig(cluster).unlink(missing_ok=True)

    def back_up(self, cluster: str) -> str:
        from bmk.live.backup_service import back_up  # noqa: PLC0415 - encryption, which few commands need
        from bmk.live.backup_sites import open_site  # noqa: PLC0415 - it asks these services

        def tell(text: str) -> None:
            self.journal.append(Event("bmk", "backup.said", text, cluster, "backup", level="debug"))

        has = str((self.journal.records(RECORD).get(cluster) or {}).get(VERSION, ""))
        dc = with_versions(self.dc, {cluster: has}) if has else self.dc  # which the file has no more, or not yet
        services = LiveServices(dc, self.journal, self.timing, self.run_dir)
        return back_up(open_site(services, cluster, tell)).name

    @property
    def _planes(self) -> encryption_service.ControlPlanes:
        def run(host: Host, command: Sequence[str], send: bytes, seconds: float) -> CommandResult:
            return ssh_run(self.target(host), command, send=send, timeout=seconds)

        return encryption_service.ControlPlanes(self.dc, self.journal, run)

    def keys_at_rest(self, host: Host) -> PlaneKeys:
        return encryption_service.look(self._planes, host)

    def key_text(self, hosts: Sequence[Host], names: Sequence[str], fresh: str) -> KeyText:
        return encryption_service.key_text(self._planes, hosts, names, fresh)

    def put_keys(self, host: Host, text: KeyText, before: str) -> None:
        encryption_service.put(self._planes, host, text, before)

    def restart_api_server(self, host: Host) -> None:
        encryption_service.restart(self._planes, host)

    def sweep_secrets(self, host: Host, key: str, after: str) -> Sweep:
        return encryption_service.sweep(self._planes, host, key, after)

    def forget_history(self, host: Host, revision: int) -> None:
        encryption_service.compact(self._planes, host, revision)

    def accept_keys(self, host: Host, sha256: str) -> None:
        encryption_service.accept(self._planes, host, sha256)

    def _cluster(self, name: str) -> ClusterServices:
        emulated = any(self.timing.get(h.name) == "emulated" for h in self.dc.members(name))
        version, known = self.dc.cluster(name).kubernetes.version, self._artifacts()
        images = known["releases"].get(version, known)["bmk_images"]
        access = ClusterAccess(
            self.kubeconfig(name),
            images,
            "emulated" if emulated else "standard",
            lambda host, command: ssh_run(self.target(host), command),
        )
        return LiveCluster((self.dc, self.journal), name, access)

    def _artifacts(self) -> dict[str, Any]:
        """Lists of what the mirror holds. An incomplete mirror is enough for hosts that need nothing more from it."""
        files, images = open_mirror().as_vars(self.dc.spec.deployer)
        certificate = registry_certificate(self.dc, self.state)
        keys = vip_keys(self.dc, self.state)
        releases = release_vars(kubernetes_versions(self.dc), self.dc.spec.deployer)
        own = {"bmk_artifacts": files, "bmk_images": images}
        return {**own, "releases": releases, "certificate": certificate, "vip_keys": keys}


def _raw_digest(image: Path) -> str:
    """The sha256 of the disk that an image unpacks to, as its first bytes say; the grant holds installs to it."""
    try:
        with image.open("rb") as file:
            return About.read(file.read(HEAD)).raw_sha256
    except AgentError as error:
        raise PreflightRefused(error.what, where=str(image), why=error.why, hint=error.hint) from error
