"""Self-signed certificates, for who is known by its certificate itself and not by an authority."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bmk.paths import private_dir

# Whoever pins it ends its life by taking another, and a node whose clock is at its beginning must be able to join.
BEGIN, END = datetime.datetime(2000, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59)


def self_signed(path: Path, name: str, addresses: Sequence[str]) -> Path:
    """Write key and certificate for these addresses or host names into one PEM file (0600), replacing what is there."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + _certificate(key, name, addresses).public_bytes(serialization.Encoding.PEM)
    private_dir(path.parent)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return fresh.replace(path)


def _certificate(key: ec.EllipticCurvePrivateKey, common_name: str, addresses: Sequence[str]) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(BEGIN).not_valid_after(END)
    alternatives = x509.SubjectAlternativeName([_named(address) for address in addresses])
    return builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())


def certificate_for(pem: Path, address: str) -> str:
    """The certificate in a PEM file when it is there, can be read and is for this address or host name; else ""."""
    try:
        found = x509.load_pem_x509_certificate(pem.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return ""
    good = _named(address) in names
    return found.public_bytes(serialization.Encoding.PEM).decode() if good else ""


def _named(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
