"""Serving certificates of kubelets, approved against the inventory. Pure but for the API handed in.

Kubernetes itself approves none, because nothing in the API says which addresses a node really has. The data center file
does: a request is approved only when a node asks for itself, for its own name and address, for serving only.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from bmk.cluster.api import SigningRequest

SIGNER = "kubernetes.io/kubelet-serving"
_USAGES = {"digital signature", "key encipherment", "server auth"}


class Approver(Protocol):
    """What of the API is needed."""

    def waiting_requests(self) -> list[SigningRequest]: ...
    def approve(self, name: str, reason: str, message: str) -> None: ...


def approve_serving(api: Approver, addresses: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Approve what the inventory (host name -> address) confirms. Returns (names approved, why others were left)."""
    approved, left = [], []
    for request in api.waiting_requests():
        if request.signer != SIGNER:
            continue
        problem = objection(request, addresses)
        if problem:
            left.append(f"{request.name}: {problem}")
            continue
        api.approve(request.name, "BmkInventory", "name and address are those of the data center file")
        approved.append(request.username.removeprefix("system:node:"))
    return approved, left


def objection(request: SigningRequest, addresses: Mapping[str, str]) -> str | None:
    """Why this request must not be approved; None when the inventory confirms all of it."""
    host = request.username.removeprefix("system:node:")
    if host == request.username or host not in addresses:
        return f"{request.username} is no host of this cluster"
    if "system:nodes" not in request.groups:
        return f"{request.username} is not in the group system:nodes"
    if not {"server auth"} <= set(request.usages) <= _USAGES:
        return f"asks for the usages {', '.join(request.usages)}"
    return _wrong_names(request, host, addresses[host])


def _wrong_names(request: SigningRequest, host: str, address: str) -> str | None:
    try:
        csr = x509.load_pem_x509_csr(request.pem)
    except ValueError:
        return "is not a PKCS#10 request"
    if not csr.is_signature_valid:
        return "is not signed by its own key"
    if _subject(csr, NameOID.COMMON_NAME) != [request.username]:
        return f"its subject is {csr.subject.rfc4514_string()}"
    if _subject(csr, NameOID.ORGANIZATION_NAME) != ["system:nodes"]:
        return f"its subject is {csr.subject.rfc4514_string()}"
    return _wrong_alternatives(csr, host, address)


def _wrong_alternatives(csr: x509.CertificateSigningRequest, host: str, address: str) -> str | None:
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "names no address"
    dns = set(names.get_values_for_type(x509.DNSName))
    ips = {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    if len(list(names)) != len(dns) + len(ips):
        return "asks for names of another kind than DNS and IP"
    return _foreign(dns - {host}, ips - {address}) or (None if ips else "names no address")


def serves(address: str, port: int = 10250, seconds: float = 5) -> bool:
    """Whether a kubelet has a certificate to show; whose it is, the API server checks."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), seconds) as plain, context.wrap_socket(plain):
            return True
    except OSError:  # a handshake that fails is one
        return False


def _foreign(dns: Iterable[str], ips: Iterable[str]) -> str | None:
    foreign = sorted([*dns, *ips])
    return f"asks for {', '.join(foreign)}, which is not its own" if foreign else None


def _subject(csr: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in csr.subject.get_attributes_for_oid(oid)]
