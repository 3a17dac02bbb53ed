"""Encryption in streams: who has the key reads it, and what is not intact is named."""

from __future__ import annotations

import io
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bmk.backup.sealing import decrypted, encrypt, read_identities
from bmk.errors import BackupRefused, ConfigError

CONTENT = [b"a" * 70_000, b"", b"b" * 300_000, b"end"]
KEYS = [pyrage.x25519.Identity.generate() for _ in range(3)]


def _sealed(content: Sequence[bytes] = CONTENT) -> bytes:
    out = io.BytesIO()
    done = encrypt(iter(content), [str(key.to_public()) for key in KEYS[:2]], out)
    assert done.size == len(out.getvalue())
    return out.getvalue()


def _open(sealed: bytes, *keys: Any) -> bytes:
    with decrypted(io.BytesIO(sealed), keys) as read:
        return b"".join(iter(lambda: read(10_000), b""))


@pytest.mark.parametrize("key", KEYS[:2])
def test_each_recipient_opens_it(key: Any) -> None:
    """With its own private key alone, whatever sizes it was written in."""
    assert _open(_sealed(), key) == b"".join(CONTENT)
    assert _open(_sealed([]), KEYS[2], key) == b""


def test_nothing_plain_is_in_it() -> None:
    """Neither at its beginning nor where a chunk ends."""
    assert b"aaaa" not in _sealed()
    assert b"end" not in _sealed()[-40:]


def _flipped(at: int) -> bytes:
    good = bytearray(_sealed())
    good[at] ^= 1
    return bytes(good)


@pytest.mark.parametrize(
    ("sealed", "reason"),
    [
        (_sealed()[:-1], "altered"),
        (_sealed()[: len(_sealed()) // 2], "altered"),
        (_flipped(-5), "altered"),
        (_flipped(5000), "altered"),
        (_sealed() + b"x", "altered"),
        (b"", "not-age"),
        (b"-----BEGIN AGE-----", "not-age"),
    ],
)
def test_what_is_not_intact_is_refused(sealed: bytes, reason: str) -> None:
    """Truncated, flipped, longer, or no file of age at all."""
    with pytest.raises(BackupRefused) as refusal:
        _open(sealed, KEYS[0])
    assert refusal.value.reason == reason


def test_damage_behind_what_was_read_is_found() -> None:
    """Who stops reading early is told on leaving."""
    with pytest.raises(BackupRefused), decrypted(io.BytesIO(_sealed()[:-1]), [KEYS[0]]) as read:
        assert read(10) == b"a" * 10


def test_another_key_is_named() -> None:
    """Not taken for damage: somebody has the wrong file in hand."""
    with pytest.raises(BackupRefused) as refusal:
        _open(_sealed(), KEYS[2])
    assert refusal.value.reason == "wrong-key"


def test_an_error_of_a_reader_comes_through() -> None:
    """What the consumer raises ends the decryption and is not replaced."""
    with pytest.raises(ZeroDivisionError), decrypted(io.BytesIO(_sealed()), [KEYS[0]]) as read:
        assert 1 / (len(read(10)) - 10)


class _Broken(io.RawIOBase):
    def write(self, _: Any) -> int:
        raise PermissionError("no")

    def read(self, _: int = -1) -> bytes:
        raise PermissionError("no")


def test_an_error_of_a_stream_is_what_is_told() -> None:
    """pyrage would tell one of its own, and nobody knew that a disk was full."""
    with pytest.raises(PermissionError):
        encrypt(iter(CONTENT), [str(KEYS[0].to_public())], _Broken())
    with pytest.raises(PermissionError), decrypted(_Broken(), [KEYS[0]]) as read:
        read(1)


def _chunks() -> Any:
    yield b"x"
    raise ZeroDivisionError


def test_an_error_of_what_is_packed_is_what_is_told() -> None:
    """As when a file vanishes while it is read."""
    with pytest.raises(ZeroDivisionError):
        encrypt(_chunks(), [str(KEYS[0].to_public())], io.BytesIO())


def test_private_keys_are_read_as_age_keygen_writes_them(tmp_path: Path) -> None:
    """With comments; one that others can read is refused, and so is a file without one; no message has the key."""
    path = tmp_path / "key"
    path.write_text(f"# created: 2026\n# public key: {KEYS[0].to_public()}\n{KEYS[0]}\n")
    path.chmod(0o600)
    assert _open(_sealed(), *read_identities(path)) == b"".join(CONTENT)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others can read"):
        read_identities(path)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    for text in ("", "AGE-SECRET-KEY-1NONSENSE", "\u00fc"):
        path.write_text(text)
        with pytest.raises(ConfigError) as refusal:
            read_identities(path)
        assert "NONSENSE" not in str(refusal.value)
