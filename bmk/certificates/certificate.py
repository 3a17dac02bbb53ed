"""An X.509 certificate as it is compared and counted. What hosts, BMCs and files say is parsed here, within bounds."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

LONGEST = 1 << 16  # bytes of one certificate; ours have 1 to 2 KiB
_LONGEST_FILE = 1 << 20  # characters; a bundle of all authorities of the web has 220,000
_SHOWN = 100  # characters of a name
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class Certificate:
    """`begins` and `ends` in seconds since the epoch; `sha256` of the DER, in hexadecimal."""

    subject: str
    issuer: str
    begins: float
    ends: float
    sha256: str


def from_der(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate, or one that nobody makes."""
    if len(der) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST >> 10} KiB")
    try:
        found = x509.load_der_x509_certificate(der)
        begins, ends = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
        names = _shown(found.subject), _shown(found.issuer)
    except ValueError:
        raise
    except Exception as error:  # of the library, on bytes that somebody made for it
        raise ValueError(type(error).__name__) from error
    return Certificate(*names, begins, ends, hashlib.sha256(der).hexdigest())


def from_pem(text: str) -> Certificate:
    """The first certificate of a PEM file, which is the holder's. Raises ValueError."""
    return all_of(text)[0]


def all_of(text: str) -> list[Certificate]:
    """Every certificate of a PEM file. Raises ValueError when there is none, or one cannot be read."""
    if len(text) > _LONGEST_FILE:
        raise ValueError(f"it is longer than {_LONGEST_FILE >> 10} KiB")
    blocks = _BLOCK.findall(text)
    if not blocks:
        raise ValueError("there is no certificate in it")
    return [from_der(_der(block)) for block in blocks]


def _der(pem: str) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    except ValueError:
        raise
    except Exception as error:  # as above
        raise ValueError(type(error).__name__) from error


def _shown(name: x509.Name) -> str:
    return "".join(c if c.isprintable() else "?" for c in name.rfc4514_string()[:_SHOWN])
