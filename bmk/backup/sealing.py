"""Encryption to age recipients, in streams. The one module that knows pyrage.

pyrage turns what a stream of ours raises into an error of its own; the streams here remember it, so that what happened
is what is told.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyrage

from bmk.backup.refusal import refused
from bmk.errors import ConfigError

Read = Callable[[int], bytes]


class Measured:
    """Size and sha256 of what passes by: bytes are read from, or written to, the stream within."""

    def __init__(self, within: Any) -> None:
        self._within, self._digest = within, hashlib.sha256()
        self.size, self.error = 0, None  # type: int, BaseException | None

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, block: bytes) -> int:
        self._do(lambda: self._within.write(block))
        self._passed(block)
        return len(block)

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._do(lambda: self._within.read(size))
        self._passed(block)
        return block

    def flush(self) -> None:
        """Nothing is held back."""

    def _passed(self, block: bytes) -> None:
        self._digest.update(block)
        self.size += len(block)

    def _do(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except BaseException as error:
            self.error = error
            raise


class Chunks:
    """Chunks of bytes as a stream to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            block = next(self._chunks, None)
            if block is None:
                return b""
            self._rest = block
        end = len(self._rest) if size < 0 else size
        block, self._rest = self._rest[:end], self._rest[end:]
        return block


def encrypt(chunks: Iterator[bytes], recipients: Sequence[str], into: Any) -> Measured:
    """Write the chunks, encrypted, to a stream; returns size and sha256 of what was written."""
    plain, sealed = Measured(Chunks(chunks)), Measured(into)
    try:
        pyrage.encrypt_io(plain, sealed, [pyrage.x25519.Recipient.from_str(one) for one in recipients])
    except (pyrage.EncryptError, OSError):
        if error := plain.error or sealed.error:
            raise error from None
        raise
    return sealed


@contextmanager
def decrypted(sealed: Any, identities: Sequence[Any]) -> Iterator[Read]:
    """What a stream holds, to read from. Raises BackupRefused, on leaving when not before, where it is not intact."""
    source, target = os.pipe()
    failed: list[BaseException] = []
    inner = Measured(sealed)

    def work() -> None:
        try:
            with open(target, "wb", buffering=0) as out:  # noqa: PTH123 - a descriptor
                pyrage.decrypt_io(inner, out, identities)
        except BaseException as error:  # who reads is told
            failed.append(inner.error or error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        with open(source, "rb") as plain:  # noqa: PTH123 - a descriptor

            def read(size: int) -> bytes:
                block = plain.read(size)
                if len(block) < size:
                    thread.join()
                    _raise(failed)
                return block

            yield read
            while read(1 << 20):
                pass
    finally:
        thread.join(60)


def _raise(failed: Sequence[BaseException]) -> None:
    for error in failed:
        if isinstance(error, pyrage.DecryptError):
            raise refused("wrong-key" if "matching" in str(error) else "not-age", str(error)) from None
        if isinstance(error, OSError) and "decrypt" in str(error):
            raise refused("altered", "age: a part of it is not what was encrypted, or it is not whole") from None
        raise error


def read_identities(path: Path) -> list[Any]:
    """The private keys in a file as age-keygen writes it. ConfigError when there is none, or others can read it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError("others can read this private key", where=str(path), hint=f"chmod 600 {path}")
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-1")]
    except (OSError, UnicodeError, pyrage.IdentityError) as error:
        raise ConfigError(
            "this file of private keys cannot be read", where=str(path), why=type(error).__name__
        ) from None
    if not keys:
        raise ConfigError("there is no private key of age in this file", where=str(path), hint="age-keygen makes one")
    return keys
