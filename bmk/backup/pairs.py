"""Whether keys of a backup belong together: certificate and key of each authority, the pair that signs tokens.

They may be anybody's who took a control plane over. A long private RSA key that is proven when it is loaded keeps
OpenSSL busy for hours, so its size is looked at first; that the pair is one is then seen by a signature.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from bmk.backup.manifest import AUTHORITIES, TOKENS
from bmk.backup.refusal import refused

_LONGEST = 8192  # bits of an RSA key; kubeadm makes 2048, and 4096 on demand
_TEXT = b"bmk: is this a pair?"


def check_pairs(root: Path) -> None:
    """`root` holds the files of a control plane by their paths. Raises BackupRefused for a pair that is none."""
    for certificate, key in AUTHORITIES:
        _check(root, certificate, key, x509.load_pem_x509_certificate)
    _check(root, *TOKENS, load_pem_public_key)


def _check(root: Path, public: str, private: str, load: Callable[[bytes], Any]) -> None:
    try:
        found = load(_text(root, public))
        shown = found.public_key() if isinstance(found, x509.Certificate) else found
        own = load_pem_private_key(_text(root, private), None, unsafe_skip_rsa_key_validation=True)
        _prove(own, shown)
    except InvalidSignature:
        raise refused("keys", f"{private} is not the key of {public}") from None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise refused("keys", f"{public} and {private}: {type(error).__name__}") from None


def _text(root: Path, path: str) -> bytes:
    return (root / path.lstrip("/")).read_bytes()


def _prove(own: Any, shown: Any) -> None:
    """What one signs, the other accepts: InvalidSignature, or TypeError and ValueError for keys of other kinds."""
    if isinstance(own, rsa.RSAPrivateKey) and isinstance(shown, rsa.RSAPublicKey):
        if max(own.key_size, shown.key_size) > _LONGEST:
            raise ValueError("a key of so many bits")
        shown.verify(own.sign(_TEXT, padding.PKCS1v15(), SHA256()), _TEXT, padding.PKCS1v15(), SHA256())
    elif isinstance(own, ec.EllipticCurvePrivateKey) and isinstance(shown, ec.EllipticCurvePublicKey):
        shown.verify(own.sign(_TEXT, ec.ECDSA(SHA256())), _TEXT, ec.ECDSA(SHA256()))
    elif isinstance(own, ed25519.Ed25519PrivateKey) and isinstance(shown, ed25519.Ed25519PublicKey):
        shown.verify(own.sign(_TEXT), _TEXT)
    else:
        raise TypeError("keys of two kinds, or of one that no cluster has")
