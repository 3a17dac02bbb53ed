"""What bmk knows about one kind of certificate. A new kind is found where its module in `kinds` defines it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal

DAY = 86400.0

# Where the file is: on each host of some roles, or on the deployer. What a BMC shows has none.
Place = Literal["host", "cluster", "deployer", "bmc", "profile"]
# Who makes the next one: kubeadm and the kubelet's own request on the host; bmk on the deployer; else a person.
Renewal = Literal["kubeadm", "kubelet", "bmk", "person"]


@dataclass(frozen=True, slots=True)
class StaticPod:
    """A program of a control plane that is started again after a renewal, and where it says that it is well.

    `health` is asked on the host itself; {address} is the host's. `reads` is in its arguments: another program of this
    name, such as the etcd of somebody's pod, is left alone.
    """

    name: str
    health: str
    reads: str


# In the order in which they are started again.
STATIC_PODS = (
    StaticPod("etcd", "http://127.0.0.1:2381/readyz", "/etc/kubernetes/pki/etcd/server.crt"),
    StaticPod("kube-apiserver", "https://{address}:6443/readyz", "/etc/kubernetes/pki/apiserver.crt"),
    StaticPod("kube-controller-manager", "https://127.0.0.1:10257/healthz", "/etc/kubernetes/controller-manager.conf"),
    StaticPod("kube-scheduler", "https://127.0.0.1:10259/healthz", "/etc/kubernetes/scheduler.conf"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateKind:
    """Everything that bmk knows about one kind of certificate.

    `name`: kubeadm's where it has one. `path` of the file (with {state}, {cluster}); `key`: that of its private key.
    `port` on which `program` shows it; 0: it is a client's. `program` reads it, and is to be started again after a
    renewal when it is a static pod. `signer` is the kind that signed it; "": itself, or a stranger. It is due `ahead`
    seconds before it ends, or when only `part` of its life is left, whichever comes later. `optional`: fine when there
    is none. `next` is for people where bmk cannot renew it, with {dc} and {where}.
    """

    name: str
    title: str
    place: Place = "host"
    roles: tuple[str, ...] = ("control_plane",)
    path: str = ""
    key: str = ""
    port: int = 0
    program: str = ""
    signer: str = ""
    renewal: Renewal = "person"
    ahead: float = 30 * DAY
    part: float = 1 / 3
    optional: bool = False
    next: str = "bmk certs renew {dc}"


def discover(package: str, path: Sequence[str]) -> tuple[CertificateKind, ...]:
    """Every kind that the modules of a package define, by module and then in the order of the file."""
    modules = [import_module(f"{package}.{found.name}") for found in iter_modules(path)]
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, CertificateKind))
