"""TPM2_MakeCredential without a TPM (part 1, 24), and the check of a quote. Pure but for random numbers."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from bmk.agent.tpm.wire import SECRET, Public, Quote, pcr_digest, signature, sized

_DIGEST = 32  # bytes of SHA-256
_KEY = 16  # bytes of AES-128
_EXPONENT = 65537


def make_credential(ek: Public, name: bytes, carried: bytes) -> tuple[bytes, bytes]:
    """A credential and the secret that opens it, each as TPM2B. Only the TPM of `ek` can open it, and it does so only
    while the key called `name` is loaded in it. `carried`: SECRET bytes at most. ValueError for a key that is none.
    """
    if len(carried) > SECRET:
        raise ValueError(f"a credential carries {SECRET} bytes at most")
    seed, encrypted = _rsa_seed(ek) if ek.rsa else _ecc_seed(ek)
    cipher = Cipher(AES(_kdfa(seed, b"STORAGE", name, _KEY)), CFB(bytes(_KEY))).encryptor()
    identity = cipher.update(sized(carried)) + cipher.finalize()
    integrity = hmac.digest(_kdfa(seed, b"INTEGRITY", b"", _DIGEST), identity + name, "sha256")
    return sized(sized(integrity) + identity), sized(encrypted)


def check_quote(key: Public, quoted: bytes, signed: bytes, qualifying: bytes, pcrs: Mapping[int, bytes]) -> Quote:
    """A quote by `key` of exactly these values of registers, for these qualifying bytes. ValueError: what is wrong."""
    try:
        pair = encode_dss_signature(*signature(signed))
        _point(key).verify(pair, quoted, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ValueError("it is not signed by the key of the challenge") from None
    quote = Quote.read(quoted)
    if not hmac.compare_digest(quote.qualifying, qualifying):
        raise ValueError("it is about something else")
    if quote.pcrs != tuple(sorted(pcrs)) or quote.digest != pcr_digest(pcrs):
        raise ValueError("it signs other values than were sent with it")
    return quote


def issuer(certificate: bytes, ek: Public) -> str:
    """The maker of the TPM with `ek`, as its certificate says, unchecked; "": no readable certificate of this key."""
    try:
        found = load_der_x509_certificate(_whole(certificate))
        wanted = _point(ek) if not ek.rsa else _rsa(ek)
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        same = found.public_key().public_bytes(*spki) == wanted.public_bytes(*spki)
        return found.issuer.rfc4514_string() if same else ""
    except Exception:  # untrusted DER: any failure of its parser means that it names nobody
        return ""


def _rsa_seed(ek: Public) -> tuple[bytes, bytes]:
    """A seed, and the seed encrypted to the key."""
    seed = secrets.token_bytes(_DIGEST)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
    return seed, _rsa(ek).encrypt(seed, oaep)


def _ecc_seed(ek: Public) -> tuple[bytes, bytes]:
    """The same by an ephemeral key."""
    ours = ec.generate_private_key(ec.SECP256R1())
    shared = ours.exchange(ec.ECDH(), _point(ek))
    numbers = ours.public_key().public_numbers()
    point = [number.to_bytes(_DIGEST, "big") for number in (numbers.x, numbers.y, ek.numbers[0])]
    seed = hashlib.sha256(b"\0\0\0\1" + shared + b"IDENTITY\0" + point[0] + point[2]).digest()
    return seed, sized(point[0]) + sized(point[1])


def _kdfa(key: bytes, label: bytes, context: bytes, count: int) -> bytes:
    """SP 800-108 in counter mode with HMAC-SHA256, as TPMs have it: `count` bytes, 32 at most."""
    return hmac.digest(key, b"\0\0\0\1" + label + b"\0" + context + (8 * count).to_bytes(4, "big"), "sha256")[:count]


def _rsa(key: Public) -> RSAPublicKey:
    return RSAPublicNumbers(_EXPONENT, key.numbers[0]).public_key()


def _point(key: Public) -> ec.EllipticCurvePublicKey:
    """ValueError for a point that is not on the curve."""
    x, y = key.numbers
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _whole(certificate: bytes) -> bytes:
    """The certificate without trailing bytes: the NV area may be larger."""
    more = certificate[1] & 0x7F  # bytes of its length, as DER has it
    return certificate[: 2 + more + int.from_bytes(certificate[2 : 2 + more], "big")]
