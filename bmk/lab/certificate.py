"""A self-signed certificate for the lab's BMCs, as BMCs come with from the factory."""

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

DAY = datetime.timedelta(days=1)


def authority(state: Path) -> Path:
    """Where a lab keeps the certificate that its BMCs show, which signed itself, in its state directory."""
    return state / "lab" / "bmc.pem"


def self_signed(path: Path, addresses: Sequence[str]) -> Path:
    """Write key and certificate for these addresses into one PEM file (0600), replacing what is there."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + _certificate(key, addresses).public_bytes(serialization.Encoding.PEM)
    private_dir(path.parent)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return fresh.replace(path)


def _certificate(key: ec.EllipticCurvePrivateKey, addresses: Sequence[str]) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmk lab BMC")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - DAY).not_valid_after(now + 3650 * DAY)
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(a)) for a in addresses])
    return builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
