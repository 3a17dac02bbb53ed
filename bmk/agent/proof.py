"""What the deployer and a ramdisk prove to each other with a secret that the boot network never carried. Pure.

The boot service imports this file too, so both sides compute the same. RFC 5869 makes a key of a grant's nonce; it
authenticates the exact bytes of each request, and of each answer together with the request that it belongs to.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

HEADER = "X-Bmk-Proof"
NONCE = 32  # bytes
_MAGIC = b"bmkn\x01"
PAYLOAD = len(_MAGIC) + NONCE + 4  # bytes: the magic, the nonce, and a checksum of both


@dataclass(frozen=True, slots=True)
class ProofKey:
    """The key of one grant. It never prints itself."""

    grant: str
    secret: bytes = field(repr=False)

    @classmethod
    def derive(cls, nonce: bytes, grant: str) -> ProofKey:
        """The key of this grant: a nonce that was left for another one gives another key."""
        extracted = hmac.digest(grant.encode(), nonce, "sha256")
        return cls(grant, hmac.digest(extracted, b"bmk attestation\x01", "sha256"))

    def request(self, verb: str, body: bytes) -> str:
        """Proof of a request of the ramdisk: hex."""
        return self._mac(b"request", verb.encode(), body)

    def answer(self, verb: str, request: str, body: bytes) -> str:
        """Proof of the answer to the request whose proof is `request`: an older answer does not fit a new question."""
        return self._mac(b"answer", verb.encode(), request.encode(), body)

    def _mac(self, *parts: bytes) -> str:
        fields = (self.grant.encode(), *parts)
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in fields)
        return hmac.digest(self.secret, framed, "sha256").hex()


def same(given: str, expected: str) -> bool:
    """Compare two proofs in a time that tells nothing. `given` may be any text."""
    return hmac.compare_digest(given.encode(), expected.encode())


def pack(nonce: bytes) -> bytes:
    """What is left in a BMC for the ramdisk: PAYLOAD bytes."""
    if len(nonce) != NONCE:
        raise ValueError(f"a nonce has {NONCE} bytes")
    return _sealed(_MAGIC + nonce)


def unpack(data: bytes) -> bytes | None:
    """The nonce at the start of what a BMC held; None: there is none. Padding after it is ignored."""
    head = data[: PAYLOAD - 4]
    if len(data) < PAYLOAD or not head.startswith(_MAGIC) or _sealed(head) != data[:PAYLOAD]:
        return None
    return head[len(_MAGIC) :]


def _sealed(head: bytes) -> bytes:
    return head + binascii.crc32(head).to_bytes(4, "big")


def fingerprint(grant: str, nonce: bytes) -> str:
    """Eight hex digits that tell a person, and a reader of a noisy console, that a nonce is whole."""
    return hashlib.sha256(grant.encode() + b"\0" + nonce).hexdigest()[:8]
