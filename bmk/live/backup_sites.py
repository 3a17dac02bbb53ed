"""What the file, the mirror and the hosts give for backups of a cluster: settings, target, programs, a way to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bmk.artifacts.mirror import release_of
from bmk.backup.collect import PROGRAM, MemberRequest, most_said, program, receive
from bmk.backup.manifest import EtcdState
from bmk.backup.on_node import BUSY, REFUSED
from bmk.backup.targets import TargetAccess, open_target
from bmk.cluster.etcd import etcdctl
from bmk.datacenter.backup_spec import BackupSpec
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import BackupRefused, BmkError, ConfigError, LockHeld, PreflightRefused, Unreachable
from bmk.live.backup_service import BackupSite
from bmk.live.services import LiveServices
from bmk.secrets import SecretStore
from bmk.ssh import deployer_key, streamed

_PROGRAMS = ("etcd-server", "etcdctl", "etcdutl", "kube-apiserver")


def backup_settings(dc: DataCenter, cluster: str) -> BackupSpec | None:
    """Of the cluster, else of the data center. Raises ConfigError when there is no such cluster."""
    if cluster not in dc.spec.clusters:
        known = ", ".join(dc.spec.clusters) or "none"
        raise ConfigError(f"there is no cluster {cluster!r} in {dc.name}", why=f"clusters: {known}")
    return dc.cluster(cluster).backup or dc.spec.backup


def backed_up(dc: DataCenter) -> list[str]:
    """Clusters that the file wants backups of."""
    return [name for name in dc.spec.clusters if backup_settings(dc, name) is not None]


def open_site(services: LiveServices, cluster: str, tell: Callable[[str], None]) -> BackupSite:
    """Raises ConfigError when the file says nothing of backups, PreflightRefused when the mirror lacks a program."""
    dc = services.dc
    spec = backup_settings(dc, cluster)
    if spec is None:
        raise ConfigError(
            f"dc.yml does not say where backups of {cluster} are kept",
            where=str(dc.source),
            hint="spec.backup with recipients and target; docs/backup.md shows one",
        )
    store = SecretStore(dc.source.parent, dc.state)
    access = TargetAccess(lambda: deployer_key(dc.state), store.resolve, dc.source.parent)
    target = open_target(spec.target, access)
    collect = _collect(services, cluster, MemberRequest(etcdctl(), largest=spec.largest << 30))
    programs = _programs(dc.cluster(cluster).kubernetes.version)
    return BackupSite(dc, services.journal, cluster, spec, target, programs, collect, tell)


def _programs(version: str) -> Mapping[str, Path]:
    """Of the mirror, which need not be complete, and such that they can be run: it keeps them as plain files."""
    mirror = release_of(version)
    found = {name: mirror.file(name).local for name in _PROGRAMS}
    for path in found.values():
        if not path.stat().st_mode & 0o100:
            path.chmod(0o755)
    return found


def _collect(services: LiveServices, cluster: str, wish: MemberRequest) -> Callable[[Path], EtcdState]:
    def collect(root: Path) -> EtcdState:
        hosts = _asked(services, cluster)
        for host in hosts[:-1]:
            try:
                return _receive(services, host, root, wish)
            except Unreachable:
                _empty(root)
        return _receive(services, hosts[-1], root, wish)

    return collect


def _asked(services: LiveServices, cluster: str) -> Sequence[Host]:
    names = services.cluster(cluster).live()
    if not names:
        raise Unreachable(
            "no control plane has an API server that is ready", where=cluster, hint=f"bmk status {services.dc.name}"
        )
    return [services.dc.hosts[name] for name in names]


def _receive(services: LiveServices, host: Host, root: Path, wish: MemberRequest) -> EtcdState:
    target, send = services.target(host), program(wish)
    with streamed(target, PROGRAM, send=send, seconds=float(wish.seconds), most=most_said(wish)) as said:
        try:
            state = receive(said.read, root, wish)
        except BackupRefused as error:
            code, text = said.finish() if error.reason == "truncated" else (0, "")
            if code:
                raise _told(host.name, code, text) from error
            raise
        code, text = said.finish()
        if code:
            raise _told(host.name, code, text)
        return state


def _told(host: str, code: int, text: str) -> BmkError:
    """What the program on a control plane said when it gave up."""
    why = text.strip()[-300:]
    if code == BUSY:
        return LockHeld("another backup is being taken there", where=host, why=why)
    if code == REFUSED:
        return PreflightRefused("the control plane cannot give a backup", where=host, why=why)
    return Unreachable("etcd gave no snapshot", where=host, why=why)


def _empty(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
