"""Whether keys of a backup belong together: certificate and key of each authority, the pair that signs tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from bmk.backup.manifest import AUTHORITIES, TOKENS
from bmk.backup.refusal import refused


def check_pairs(root: Path) -> None:
    """`root` holds the files of a control plane by their paths. Raises BackupRefused for a pair that is none."""
    for certificate, key in AUTHORITIES:
        _check(root, certificate, key, x509.load_pem_x509_certificate)
    _check(root, *TOKENS, load_pem_public_key)


def _check(root: Path, public: str, private: str, load: Callable[[bytes], Any]) -> None:
    try:
        found = load(_text(root, public))
        shown = found.public_key() if isinstance(found, x509.Certificate) else found
        own = load_pem_private_key(_text(root, private), None).public_key()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise refused("keys", f"{public} and {private}: {type(error).__name__}") from None
    if _raw(shown) != _raw(own):
        raise refused("keys", f"{private} is not the key of {public}")


def _text(root: Path, path: str) -> bytes:
    return (root / path.lstrip("/")).read_bytes()


def _raw(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
