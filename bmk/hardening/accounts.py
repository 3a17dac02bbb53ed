"""Who Kubernetes' own programs run as, and whose the files are that kubeadm makes for them. Pure.

Each static pod has a user and a group of its own, without a login. A key belongs to the one program that reads it (CIS
wants 0600); the directories above belong to root and let pass (0711), so what a program may read, each file says by
itself. The numbers are fixed, because manifests name numbers and all nodes of a cluster have the same manifests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """A system user, and the group of the same name and number."""

    name: str
    number: int


ROOT = Account("root", 0)
ETCD = Account("etcd", 953)  # CIS 1.1.12 names it
API_SERVER = Account("kube-apiserver", 954)
CONTROLLER_MANAGER = Account("kube-controller-manager", 955)
SCHEDULER = Account("kube-scheduler", 956)
PROXY = Account("kube-proxy", 957)
DNS = Account("nonroot", 65532)  # the user of CoreDNS's image; no file of a node is its
STATIC_PODS = {account.name: account for account in (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER)}
"""Static pod -> whom it runs as."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A file or directory, if it is there. `tree`: everything below a directory is its owner's as well."""

    path: str
    mode: int
    owner: Account = ROOT
    group: Account | None = None
    tree: bool = False

    @property
    def ids(self) -> tuple[int, int]:
        """Numbers of its user and group."""
        return self.owner.number, (self.group or self.owner).number


_KUBERNETES, _PKI = "/etc/kubernetes", "/etc/kubernetes/pki"
_SETTINGS, _AUDIT = f"{_KUBERNETES}/bmk", "/var/log/kubernetes/audit"
CONF = "/etc/tmpfiles.d/bmk-kubernetes.conf"

ON_EVERY_NODE = (
    Owned(f"{_KUBERNETES}/kubelet.conf", 0o600),
    Owned(_PKI, 0o711),
    Owned(f"{_PKI}/ca.crt", 0o644),
)
ON_CONTROL_PLANES = (
    *(Owned(f"{_KUBERNETES}/{name}.conf", 0o600) for name in ("admin", "super-admin")),
    Owned(f"{_KUBERNETES}/controller-manager.conf", 0o600, CONTROLLER_MANAGER),
    Owned(f"{_KUBERNETES}/scheduler.conf", 0o600, SCHEDULER),
    *(
        Owned(f"{_PKI}/{name}.crt", 0o644)
        for name in (
            *("apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client"),
            *("etcd/ca", "etcd/server", "etcd/peer", "etcd/healthcheck-client"),
        )
    ),
    *(
        Owned(f"{_PKI}/{name}.key", 0o600, API_SERVER)
        for name in ("apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "front-proxy-client")
    ),
    Owned(f"{_PKI}/ca.key", 0o600, CONTROLLER_MANAGER),
    # the one key that two programs use: tokens are signed with it, by one for pods, by the other for old secrets
    Owned(f"{_PKI}/sa.key", 0o640, API_SERVER, CONTROLLER_MANAGER),
    Owned(f"{_PKI}/sa.pub", 0o600, API_SERVER),
    Owned(f"{_PKI}/front-proxy-ca.key", 0o600),
    Owned(f"{_PKI}/etcd", 0o711),
    Owned(f"{_PKI}/etcd/ca.key", 0o600),
    Owned(f"{_PKI}/etcd/healthcheck-client.key", 0o600),
    *(Owned(f"{_PKI}/etcd/{name}.key", 0o600, ETCD) for name in ("server", "peer")),
    # what bmk writes stays root's, so that the API server cannot change what it is held to
    Owned(_SETTINGS, 0o750, ROOT, API_SERVER),
    *(
        Owned(f"{_SETTINGS}/{name}.yaml", 0o640, ROOT, API_SERVER)
        for name in ("admission", "audit-policy", "authentication", "encryption")
    ),
    Owned(_AUDIT, 0o700, API_SERVER, tree=True),
    Owned("/var/lib/etcd", 0o700, ETCD, tree=True),
)
BY_PATH = {owned.path: owned for owned in (*ON_EVERY_NODE, *ON_CONTROL_PLANES)}


def owned_at(path: str) -> Owned:
    """What is said of a path, by itself or by the tree that it is in; root's 0600 when nothing is."""
    found = BY_PATH.get(path) or next((o for o in ON_CONTROL_PLANES if o.tree and path.startswith(f"{o.path}/")), None)
    return found or Owned(path, 0o600)


def users(role: str) -> list[dict[str, Any]]:
    """Items of bmk_users for a host of this role."""
    return [{"name": a.name, "uid": a.number} for a in STATIC_PODS.values()] if role == "control_plane" else []


def tmpfiles(role: str) -> str:
    """The table as systemd-tmpfiles reads it: before each start of the kubelet, and so before each static pod's.

    kubeadm makes keys that only root can read and writes manifests before it starts the kubelet; nothing else of it
    could say whose they are.
    """
    there = (*ON_EVERY_NODE, *(ON_CONTROL_PLANES if role == "control_plane" else ()))
    return "# Written by bmk. Changes are drift.\n" + "".join(f"{line}\n" for line in _lines(there))


def _lines(there: Iterable[Owned]) -> Iterable[str]:
    for owned in there:
        ids = f"{owned.owner.name} {(owned.group or owned.owner).name}"
        yield f"{'d' if owned.tree else 'z'} {owned.path} {owned.mode:04o} {ids}"
        if owned.tree:
            yield f"Z {owned.path} - {ids}"


def pod_context(account: Account) -> dict[str, Any]:
    """securityContext of a pod that runs as this user, with its group and no other."""
    numbers = {"runAsUser": account.number, "runAsGroup": account.number}
    profile = {"seccompProfile": {"type": "RuntimeDefault"}}
    return {"runAsNonRoot": True, **numbers, "supplementalGroupsPolicy": "Strict", **profile}


def container_context(*capabilities: str) -> dict[str, Any]:
    """securityContext of a container that may do nothing beyond these capabilities, and never gets more."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], **({"add": list(capabilities)} if capabilities else {})},
    }
