"""Certificates of nodes: approved for exactly what the inventory and the ticket say, with real requests."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bmk.cluster.api import SigningRequest
from bmk.cluster.csr import CLIENT, JOINING, SERVING, Decision, approve
from bmk.errors import BmkError, Unreachable
from bmk.hardening.policy import automatic

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
    "csr-1", SERVING, NODE, ("system:nodes", "system:authenticated"), ("digital signature", "server auth"), _pem()
)


@dataclass
class Requests:
    """An API with waiting requests, that remembers what was approved."""

    waiting: list[SigningRequest]
    approved: list[str] = field(default_factory=list)
    tickets: dict[str, str] = field(default_factory=lambda: {"aaaaaa": "worker-1", "bbbbbb": "worker-2"})
    ready: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def waiting_requests(self) -> list[SigningRequest]:
        return self.waiting

    def approve(self, name: str, reason: str, message: str) -> None:
        if name in (*self.gone, *self.refused):
            self.waiting = [one for one in self.waiting if one.name not in self.gone]
            raise BmkError("the Kubernetes API refused", why="not found")
        self.approved.append(name)

    def ticket(self, token_id: str) -> str | None:
        return self.tickets.get(token_id)

    def nodes(self) -> dict[str, str]:
        return dict.fromkeys(self.ready, "ready")


CLIENT_GOOD = SigningRequest(
    "csr-2",
    CLIENT,
    "system:bootstrap:aaaaaa",
    ("system:bootstrappers", JOINING, "system:authenticated"),
    ("digital signature", "client auth"),
    _pem(dns=(), ips=()),
)


def test_a_node_gets_its_own_name_and_address() -> None:
    """What the data center file says of a node is approved."""
    api = Requests([GOOD])
    assert approve(api, api.nodes, INVENTORY) == [Decision("csr-1", "worker-1", "serving")]
    assert api.approved == ["csr-1"]


def test_a_ticket_is_good_for_its_own_host() -> None:
    """The name that the ticket is for is approved."""
    api = Requests([CLIENT_GOOD])
    assert approve(api, api.nodes, INVENTORY) == [Decision("csr-2", "worker-1", "client")]
    assert api.approved == ["csr-2"]


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
    (answer,) = approve(api, api.nodes, INVENTORY)
    assert api.approved == []
    assert because in answer.problem


@pytest.mark.parametrize(
    ("bad", "because"),
    [
        (replace(CLIENT_GOOD, username="system:bootstrap:bbbbbb"), "asked for worker-2"),
        (replace(CLIENT_GOOD, username="system:bootstrap:cccccc"), "no ticket"),
        (replace(CLIENT_GOOD, username="system:bootstrap:../../aaaaaa"), "no ticket"),
        (replace(CLIENT_GOOD, username="admin"), "no ticket"),
        (replace(CLIENT_GOOD, groups=("system:bootstrappers",)), "not in the group"),
        (replace(CLIENT_GOOD, usages=("digital signature", "server auth")), "usages"),
        (replace(CLIENT_GOOD, usages=("client auth", "server auth")), "usages"),
        (replace(CLIENT_GOOD, pem=_pem(cn="system:node:worker-2", dns=(), ips=())), "subject"),
        (replace(CLIENT_GOOD, pem=_pem(cn="kubernetes-admin", dns=(), ips=())), "subject"),
        (replace(CLIENT_GOOD, pem=_pem(org="system:masters", dns=(), ips=())), "subject"),
        (replace(CLIENT_GOOD, pem=_pem()), "no further names"),
        (replace(CLIENT_GOOD, pem=b"rubbish"), "PKCS#10"),
    ],
)
def test_a_stolen_ticket_gets_nothing(bad: SigningRequest, because: str) -> None:
    """Another name than the ticket's, a foreign token, another right: never approved, always explained."""
    api = Requests([bad])
    (answer,) = approve(api, api.nodes, INVENTORY)
    assert api.approved == []
    assert because in answer.problem


def test_a_ticket_of_a_ready_node_is_good_for_nothing() -> None:
    """Who is a Ready node has its identity: a second one for the same name is a theft, or can wait."""
    api = Requests([CLIENT_GOOD], ready=("worker-1",))
    assert "Ready node already" in approve(api, api.nodes, INVENTORY)[0].problem
    assert api.approved == []


def test_a_host_that_left_the_file_joins_no_more() -> None:
    """The inventory counts, not the ticket alone."""
    api = Requests([CLIENT_GOOD])
    assert "no ticket for a host" in approve(api, api.nodes, {"worker-2": "10.0.0.22"})[0].problem


def test_one_odd_request_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that the API refuses, or that breaks the library, is left with its reason; the next one is approved."""
    odd, refused = replace(GOOD, name="odd", pem=b"odd"), replace(GOOD, name="refused")
    real = x509.load_pem_x509_csr

    def load(pem: bytes) -> x509.CertificateSigningRequest:
        if pem == b"odd":
            raise TypeError("what no library expects")
        return real(pem)

    monkeypatch.setattr(x509, "load_pem_x509_csr", load)
    api = Requests([odd, refused, GOOD], refused=("refused",))
    assert [a.problem for a in approve(api, api.nodes, INVENTORY)] == [
        "cannot be read: TypeError", "the Kubernetes API refused: not found", "",
    ]  # fmt: skip
    assert api.approved == ["csr-1"]


def test_what_another_answered_meanwhile_is_no_refusal() -> None:
    """A run and the approver beside it see the same request: one of them is late, and nothing is wrong."""
    api = Requests([replace(GOOD, name="gone"), GOOD], gone=("gone",))
    assert approve(api, api.nodes, INVENTORY) == [Decision("csr-1", "worker-1", "serving")]


def test_an_api_that_goes_away_is_told() -> None:
    """That is no matter of one request: the caller asks again later."""

    class Away(Requests):
        def ticket(self, token_id: str) -> str | None:
            raise Unreachable("the Kubernetes API does not answer")

    with pytest.raises(Unreachable):
        approve(Away([CLIENT_GOOD]), dict, INVENTORY)


def test_bindings_that_approve_any_name_are_found() -> None:
    """kubeadm's, by whatever name, and not the one for renewals, by which a node may only be itself again."""
    group = "certificates.k8s.io"
    roles = [
        _role("any", group, "certificatesigningrequests/nodeclient"),
        _role("self", group, "certificatesigningrequests/selfnodeclient"),
        {"metadata": {"name": "empty"}},
    ]
    bindings = [{"metadata": {"name": f"b-{n}"}, "roleRef": {"name": n}} for n in ("any", "self", "empty", "other")]
    assert automatic(roles, bindings) == ["b-any"]


def _role(name: str, group: str, resource: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["create"]}]}


def test_other_signers_are_not_our_business() -> None:
    """What is neither of the two kinds is not even answered, nor a node that renews its client certificate."""
    api = Requests([replace(GOOD, signer="kubernetes.io/kube-apiserver-client"), replace(CLIENT_GOOD, username=NODE)])
    assert approve(api, api.nodes, INVENTORY) == []
    assert api.approved == []


def test_a_request_altered_after_signing_is_left() -> None:
    """The signature of the request proves that the node has the key."""
    der = bytearray(x509.load_pem_x509_csr(GOOD.pem).public_bytes(serialization.Encoding.DER))
    der[der.index(b"worker-1") :][:8] = b"worker-1"
    at = bytes(der).rindex(b"\x0a\x00\x00\x15")
    der[at + 3] = 0x16
    altered = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    (answer,) = approve(Requests([replace(GOOD, pem=altered)]), dict, {"worker-1": "10.0.0.22"})
    assert answer.problem == "is not signed by its own key"
