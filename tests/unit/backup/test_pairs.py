"""Keys of a backup that belong together, and those that do not."""

from __future__ import annotations

import time
from math import gcd
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bmk.backup.manifest import AUTHORITIES, TOKENS
from bmk.backup.pairs import check_pairs
from bmk.errors import BackupRefused
from tests.cluster_keys import make_pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pairs")
    make_pairs(found)
    return found


def test_pairs_of_kubeadm_are_pairs(root: Path) -> None:
    """Authorities by their certificates, tokens by their public key."""
    check_pairs(root)


@pytest.mark.parametrize("path", [key for _, key in AUTHORITIES] + [TOKENS[0]])
def test_a_key_of_another_pair_is_named(root: Path, path: str) -> None:
    """With the path of the file, and nothing of what is in it."""
    other = next(key for key in (AUTHORITIES[0][1], TOKENS[1], AUTHORITIES[1][1]) if key != path)
    kept = (root / path.lstrip("/")).read_bytes()
    for content in ((root / other.lstrip("/")).read_bytes(), b"no key", b""):
        (root / path.lstrip("/")).write_bytes(content)
        with pytest.raises(BackupRefused) as refusal:
            check_pairs(root)
        assert refusal.value.reason == "keys"
        assert path in refusal.value.why
    (root / path.lstrip("/")).write_bytes(kept)
    check_pairs(root)


def _keys(root: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    """Sign tokens with this key."""
    public, private = (root / path.lstrip("/") for path in TOKENS)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_kinds_of_keys_that_clusters_have(tmp_path: Path) -> None:
    """kubeadm makes RSA and ECDSA; others are made by hand."""
    make_pairs(tmp_path)
    for key in (
        rsa.generate_private_key(65537, 3072),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ):
        _keys(tmp_path, key)
        check_pairs(tmp_path)


def test_a_key_that_takes_hours_to_prove_is_refused_at_once(tmp_path: Path) -> None:
    """Of 20,000 bits, with real primes, from a control plane that was taken over."""
    make_pairs(tmp_path)
    p, q = 2**9941 - 1, 2**9689 - 1
    e = next(n for n in range(3, 10_000, 2) if gcd(n, (p - 1) * (q - 1)) == 1)
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q))
    _keys(tmp_path, numbers.private_key(unsafe_skip_rsa_key_validation=True))
    began = time.monotonic()
    with pytest.raises(BackupRefused) as refusal:
        check_pairs(tmp_path)
    assert refusal.value.reason == "keys"
    assert time.monotonic() - began < 20
