"""Certificates as they would be at another time: signed anew by their own authority, with the same key and names."""

from __future__ import annotations

import base64
import re
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

_DATA = re.compile(r"(client-certificate-data: *)([A-Za-z0-9+/=]+)")


def aged(text: str, authority: str, key: str, begins: datetime, ends: datetime) -> str:
    """A PEM file with one certificate, or a kubeconfig, with another life. All PEM; the authority's key signs."""
    inside = _DATA.search(text)
    if inside is None:
        return _signed(text, authority, key, begins, ends)
    old = base64.b64decode(inside[2]).decode()
    new = base64.b64encode(_signed(old, authority, key, begins, ends).encode()).decode()
    return _DATA.sub(lambda found: found[1] + new, text)


def _signed(pem: str, authority: str, key: str, begins: datetime, ends: datetime) -> str:
    old, issuer = (x509.load_pem_x509_certificate(one.encode()) for one in (pem, authority))
    builder = (
        x509.CertificateBuilder(issuer.subject, old.subject, old.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signer = load_pem_private_key(key.encode(), None)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]
