"""Certificates of kubelets, approved against the inventory. Pure but for the API handed in.

Kubernetes approves no serving certificate by itself, because nothing in the API says which addresses a node really
has; the data center file does. A first client certificate is requested with a ticket (a bootstrap token for one host).
kubeadm lets Kubernetes approve any name for any token: bmk removes that binding (bmk/hardening/policy.py) and
approves only the name that the ticket is for. Kubernetes itself renews client certificates: a node can request only
its own name.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from bmk.cluster.api import SigningRequest
from bmk.errors import BmkError, Unreachable

SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
JOINING = "system:bootstrappers:kubeadm:default-node-token"  # the group that a token of `kubeadm token create` is in
_NODE, _TICKET = "system:node:", "system:bootstrap:"
_USAGES = {"digital signature", "key encipherment"}


class Approver(Protocol):
    """The part of the API that approving needs."""

    def waiting_requests(self) -> list[SigningRequest]: ...
    def approve(self, name: str, reason: str, message: str) -> None: ...
    def ticket(self, token_id: str) -> str | None: ...


Nodes = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of one request. `host` is the requester by its certificate or ticket; "" when that is no host.

    `problem` says why it stays pending; "" when it was approved.
    """

    request: str
    host: str
    kind: str
    problem: str = ""


def approve(api: Approver, nodes: Nodes, addresses: Mapping[str, str]) -> list[Decision]:
    """Approve the pending requests that the inventory (host name -> address) confirms; `nodes` returns their readiness.

    A malformed request does not stop the others. Raises Unreachable.
    """
    answers = (_answer(api, nodes, request, addresses) for request in api.waiting_requests() if _is_ours(request))
    return [answer for answer in answers if answer is not None]


def waiting(api: Approver, nodes: Nodes, addresses: Mapping[str, str]) -> list[Decision]:
    """What `approve` would decide now; nothing is approved. Raises Unreachable."""
    return approve(_Reader(api), nodes, addresses)


@dataclass(frozen=True, slots=True)
class _Reader:
    """An API to which nothing is written."""

    api: Approver

    def waiting_requests(self) -> list[SigningRequest]:
        return self.api.waiting_requests()

    def approve(self, name: str, reason: str, message: str) -> None:
        pass

    def ticket(self, token_id: str) -> str | None:
        return self.api.ticket(token_id)


def _is_ours(request: SigningRequest) -> bool:
    """Not a node's renewal of its client certificate, which Kubernetes is about to approve."""
    return request.signer == SERVING or (request.signer == CLIENT and not request.username.startswith(_NODE))


def _answer(api: Approver, nodes: Nodes, request: SigningRequest, addresses: Mapping[str, str]) -> Decision | None:
    """None: somebody else, such as an approver beside this run, answered it meanwhile."""
    kind = "serving" if request.signer == SERVING else "client"
    host = ""
    try:
        host = _requester(api, request)
        problem = _objection(request, host, addresses)
        if not problem and request.signer == CLIENT and nodes().get(host) == "ready":
            problem = f"its ticket is for {host}, which is a Ready node already"
        if not problem:
            api.approve(request.name, "BmkInventory", "name and address are those of the data center file")
    except Unreachable:
        raise
    except BmkError as error:
        if all(waiting.name != request.name for waiting in api.waiting_requests()):
            return None
        problem = f"{error.what}: {error.why}"
    except Exception as error:  # of the library, on a malformed request
        problem = f"cannot be read: {type(error).__name__}"
    return Decision(request.name, host, kind, problem or "")


def _requester(api: Approver, request: SigningRequest) -> str:
    """The requesting host: a node by its user name, another by its ticket. "" for anybody else."""
    if request.signer == SERVING:
        return request.username.removeprefix(_NODE) if request.username.startswith(_NODE) else ""
    token_id = request.username.removeprefix(_TICKET)
    return (api.ticket(token_id) if re.fullmatch(r"[a-z0-9]{6}", token_id) else None) or ""


def _objection(request: SigningRequest, host: str, addresses: Mapping[str, str]) -> str | None:
    """Why this request must not be approved; None when the inventory confirms all of it."""
    serving = request.signer == SERVING
    if host not in addresses:
        return (
            f"{request.username} is {'no host of this cluster' if serving else 'no ticket for a host of this cluster'}"
        )
    group = "system:nodes" if serving else JOINING
    if group not in request.groups:
        return f"{request.username} is not in the group {group}"
    wanted = "server auth" if serving else "client auth"
    if not {wanted} <= set(request.usages) <= {wanted, *_USAGES}:
        return f"asks for the usages {', '.join(request.usages)}"
    return _wrong_names(request.pem, host, addresses[host] if serving else None)


def _wrong_names(pem: bytes, host: str, address: str | None) -> str | None:
    """`address` None: a client certificate, which names the node and nothing else."""
    try:
        csr = x509.load_pem_x509_csr(pem)
    except ValueError:
        return "is not a PKCS#10 request"
    if not csr.is_signature_valid:
        return "is not signed by its own key"
    names = {NameOID.COMMON_NAME: [_NODE + host], NameOID.ORGANIZATION_NAME: ["system:nodes"]}
    subject = {oid: [str(a.value) for a in csr.subject.get_attributes_for_oid(oid)] for oid in names}
    if subject != names or len(list(csr.subject)) != len(names):
        return f"its subject is {csr.subject.rfc4514_string()}, and it asked for {host}"
    try:
        found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "names no address" if address is not None else None
    return _wrong_alternatives(found, host, address) if address is not None else "a client has no further names"


def _wrong_alternatives(names: x509.SubjectAlternativeName, host: str, address: str) -> str | None:
    dns = set(names.get_values_for_type(x509.DNSName))
    ips = {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    if len(list(names)) != len(dns) + len(ips):
        return "asks for names of another kind than DNS and IP"
    foreign = sorted([*(dns - {host}), *(ips - {address})])
    if foreign:
        return f"asks for {', '.join(foreign)}, which is not its own"
    return None if ips else "names no address"


def serves(address: str, authority: str, port: int = 10250, seconds: float = 5) -> bool:
    """Whether a kubelet shows a certificate that this authority (PEM) signed for its address."""
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # which asks for extensions that Kubernetes' certificates lack
    try:
        with (
            socket.create_connection((address, port), seconds) as plain,
            context.wrap_socket(plain, server_hostname=address),
        ):
            return True
    except OSError:  # a handshake that fails is one
        return False
