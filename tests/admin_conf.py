"""A kubeconfig as kubeadm writes it on a control plane, with a certificate of its own; and what an adversary adds."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bmk.document import to_yaml


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certificate(subject: str, key: Any, issuer: str, signer: Any) -> bytes:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number())
    signed = made.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(signer, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


def pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


CA, HOLDER, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
AUTHORITY = certificate("kubernetes", CA, "kubernetes", CA)
CERTIFICATE = certificate("kubernetes-admin", HOLDER, "kubernetes", CA)


def admin_conf(ca: bytes = AUTHORITY, cert: bytes = CERTIFICATE, key: bytes = b"", **more: Any) -> str:
    """As kubeadm writes it, but for a server and what else a host put in."""
    ca64, certificate64, key64 = (base64.b64encode(x).decode() for x in (ca, cert, key or pem(HOLDER)))
    user = {"client-certificate-data": certificate64, "client-key-data": key64, **more}
    cluster = {"certificate-authority-data": ca64, "server": "https://10.0.0.66:6443"}
    lists = {"clusters": [{"cluster": cluster, "name": "x"}], "users": [{"name": "kubernetes-admin", "user": user}]}
    return to_yaml({"apiVersion": "v1", **lists, "kind": "Config"})
