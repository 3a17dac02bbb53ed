"""Keys and quotes as a TPM writes them. Pure; the boot service reads them with this file too.

Of each kind of key there is one template, TCG's for endorsement keys (EK Credential Profile, L-1 and L-2) and ours for
the key that signs. A public key is read only if it is its template but for the key itself: nothing is left to judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SHA256, NULL = 0x000B, 0x0010
SECRET = 32  # bytes at most that a credential can carry: a digest of SHA-256
PCRS = tuple(range(10))  # firmware, its settings, option ROMs, boot programs, Secure Boot, kernel and ramdisk

# Type, hash, attributes (fixed to this TPM and parent, made in it, used by policy, restricted to decrypting), policy
# (PolicySecret of the endorsement hierarchy), AES-128-CFB, no scheme.
_POLICY = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
_RSA_EK = bytes.fromhex(f"0001000b000300b20020{_POLICY}0006008000430010080000000000")
_ECC_EK = bytes.fromhex(f"0023000b000300b20020{_POLICY}000600800043001000030010")
# The same, but it signs what the TPM made itself and nothing else; no lockout; ECDSA with SHA-256 on P-256.
_SIGNER = bytes.fromhex("0023000b00050472000000100018000b00030010")

_MAGIC, _QUOTE = b"\xffTCG", 0x8018
_MODULUS, _COORDINATE = 256, 32  # bytes of an RSA-2048 modulus, of a coordinate on P-256


def sized(data: bytes) -> bytes:
    """A TPM2B: length in two bytes, then the data."""
    return len(data).to_bytes(2, "big") + data


class Reader:
    """Takes fields from the front. ValueError where there is less than asked for, or too much at the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("it ends too early")
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        """Of `count` bytes."""
        return int.from_bytes(self.take(count), "big")

    def sized(self) -> bytes:
        """A TPM2B's data."""
        return self.take(self.number(2))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("there is more than there should be")


@dataclass(frozen=True, slots=True)
class Public:
    """A public key. `numbers`: the modulus, or the two coordinates of a point."""

    raw: bytes  # TPMT_PUBLIC
    numbers: tuple[int, ...]

    @property
    def rsa(self) -> bool:
        return len(self.numbers) == 1

    @property
    def name(self) -> bytes:
        """What the TPM calls it: the hash of all its properties."""
        return SHA256.to_bytes(2, "big") + hashlib.sha256(self.raw).digest()

    @property
    def digest(self) -> str:
        """What people call it: 64 hex digits."""
        return self.name[2:].hex()


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """How a kind of key looks but for the key. `sizes`: bytes of its numbers."""

    prefix: bytes
    sizes: tuple[int, ...]

    def asked(self) -> bytes:
        """What a TPM is asked to make."""
        return self.prefix + b"".join(sized(bytes(size)) for size in self.sizes)

    def read(self, raw: bytes) -> Public:
        """ValueError for every other kind of key."""
        if not raw.startswith(self.prefix):
            raise ValueError("it is not a key of the kind that was asked for")
        fields = Reader(raw[len(self.prefix) :])
        numbers = [fields.sized() for _ in self.sizes]
        fields.end()
        if any(len(number) > size for number, size in zip(numbers, self.sizes, strict=True)):
            raise ValueError("its numbers are too long")
        return Public(raw, tuple(int.from_bytes(number, "big") for number in numbers))


RSA_EK = KeyTemplate(_RSA_EK, (_MODULUS,))
ECC_EK = KeyTemplate(_ECC_EK, (_COORDINATE, _COORDINATE))
SIGNER = KeyTemplate(_SIGNER, (_COORDINATE, _COORDINATE))


def endorsement_key(raw: bytes) -> Public:
    """An endorsement key of either kind; ValueError for anything else."""
    return (RSA_EK if raw.startswith(_RSA_EK) else ECC_EK).read(raw)


def selection(pcrs: Iterable[int]) -> bytes:
    """These registers of the SHA-256 bank, as a list of selections."""
    bits = sum(1 << number for number in pcrs)
    return b"\0\0\0\1" + SHA256.to_bytes(2, "big") + b"\3" + bits.to_bytes(3, "little")


def selected(fields: Reader) -> tuple[int, ...]:
    """The registers of the SHA-256 bank in a list of selections, whose other banks are empty."""
    found: list[int] = []
    for _ in range(fields.number(4)):
        bank, bits = fields.number(2), int.from_bytes(fields.take(fields.number(1)), "little")
        if bits and bank != SHA256:
            raise ValueError("a bank that was not asked for")
        found += [number for number in range(bits.bit_length()) if bits >> number & 1]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a TPM signed: the registers, the digest of their values, and the bytes that it was given for it."""

    qualifying: bytes
    pcrs: tuple[int, ...]
    digest: bytes
    resets: int  # how often it was started, ever
    firmware: int  # its version

    @classmethod
    def read(cls, raw: bytes) -> Quote:
        """From a TPMS_ATTEST. ValueError for everything that is no quote."""
        fields = Reader(raw)
        if fields.take(4) != _MAGIC or fields.number(2) != _QUOTE:
            raise ValueError("it is no quote of a TPM")
        fields.sized()  # the signer's name along its parents, which says nothing here
        qualifying = fields.sized()
        fields.take(8)  # milliseconds since it was made
        resets = fields.number(4)
        fields.take(5)  # resumes, and whether the clock is exact
        firmware = fields.number(8)
        pcrs, digest = selected(fields), fields.sized()
        fields.end()
        return cls(qualifying, pcrs, digest, resets, firmware)


def pcr_digest(pcrs: Mapping[int, bytes]) -> bytes:
    """The digest of these values, as a quote has it."""
    return hashlib.sha256(b"".join(pcrs[number] for number in sorted(pcrs))).digest()


def signature(raw: bytes) -> tuple[int, int]:
    """The two numbers of an ECDSA signature with SHA-256; ValueError for another kind."""
    fields = Reader(raw)
    if fields.take(4) != bytes.fromhex("0018000b"):
        raise ValueError("it is not signed by ECDSA with SHA-256")
    found = int.from_bytes(fields.sized(), "big"), int.from_bytes(fields.sized(), "big")
    fields.end()
    return found
