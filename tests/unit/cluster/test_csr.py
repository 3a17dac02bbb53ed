"""Serving certificates: approved for exactly what the inventory says, with real requests."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bmk.cluster.api import SigningRequest
from bmk.cluster.csr import SIGNER, approve_serving, objection

INVENTORY = {"worker-1": "10.0.0.21", "worker-2": "10.0.0.22"}
NODE = "system:node:worker-1"
KEY = ec.generate_private_key(ec.SECP256R1())


def _pem(
    cn: str = NODE,
    org: str = "system:nodes",
    dns: tuple[str, ...] = ("worker-1",),
    ips: tuple[str, ...] = ("10.0.0.21",),
    other: tuple[x509.GeneralName, ...] = (),
) -> bytes:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org), x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    )
    names = [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(i)) for i in ips), *other]
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


GOOD = SigningRequest(
    "csr-1", SIGNER, NODE, ("system:nodes", "system:authenticated"), ("digital signature", "server auth"), _pem()
)


@dataclass
class Requests:
    """An API with waiting requests, that remembers what was approved."""

    waiting: list[SigningRequest]
    approved: list[str] = field(default_factory=list)

    def waiting_requests(self) -> list[SigningRequest]:
        return self.waiting

    def approve(self, name: str, reason: str, message: str) -> None:
        self.approved.append(name)


def test_a_node_gets_its_own_name_and_address() -> None:
    """What the data center file says of a node is approved."""
    api = Requests([GOOD])
    assert approve_serving(api, INVENTORY) == (["worker-1"], [])
    assert api.approved == ["csr-1"]


@pytest.mark.parametrize(
    ("bad", "because"),
    [
        (replace(GOOD, username="system:node:stranger"), "no host"),
        (replace(GOOD, username="admin"), "no host"),
        (replace(GOOD, groups=("system:masters",)), "system:nodes"),
        (replace(GOOD, usages=("client auth",)), "usages"),
        (replace(GOOD, usages=("server auth", "client auth")), "usages"),
        (replace(GOOD, pem=_pem(cn="system:node:worker-2")), "subject"),
        (replace(GOOD, pem=_pem(org="system:masters")), "subject"),
        (replace(GOOD, pem=_pem(ips=("10.0.0.22",))), "10.0.0.22"),
        (replace(GOOD, pem=_pem(ips=("10.0.0.21", "10.0.0.1"))), "10.0.0.1"),
        (replace(GOOD, pem=_pem(dns=("worker-1", "kubernetes"))), "kubernetes"),
        (replace(GOOD, pem=_pem(dns=(), ips=())), "no address"),
        (replace(GOOD, pem=_pem(ips=())), "no address"),
        (replace(GOOD, pem=_pem(other=(x509.RFC822Name("a@b"),))), "another kind"),
        (replace(GOOD, pem=b"rubbish"), "PKCS#10"),
    ],
)
def test_anything_else_is_left_with_a_reason(bad: SigningRequest, because: str) -> None:
    """Another's name, another's address, other usages, another kind of name: never approved, always explained."""
    api = Requests([bad])
    approved, left = approve_serving(api, INVENTORY)
    assert (approved, api.approved) == ([], [])
    assert because in left[0]


def test_other_signers_are_not_our_business() -> None:
    """Client certificates are approved by Kubernetes itself."""
    assert approve_serving(
        Requests([replace(GOOD, signer="kubernetes.io/kube-apiserver-client-kubelet")]), INVENTORY
    ) == (
        [],
        [],
    )


def test_a_request_altered_after_signing_is_left() -> None:
    """The signature of the request proves that the node has the key."""
    der = bytearray(x509.load_pem_x509_csr(GOOD.pem).public_bytes(serialization.Encoding.DER))
    der[der.index(b"worker-1") :][:8] = b"worker-1"
    at = bytes(der).rindex(b"\x0a\x00\x00\x15")
    der[at + 3] = 0x16
    altered = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    assert objection(replace(GOOD, pem=altered), {"worker-1": "10.0.0.22"}) == "is not signed by its own key"
