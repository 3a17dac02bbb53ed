"""Bytes and their digests: hashing, comparing, and writes that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmk.errors import DigestMismatch


def sha256_bytes(data: bytes) -> str:
    """Lower-case hex digest."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Lower-case hex digest of a file; reads it once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of(value: Any) -> str:
    """Digest of a JSON-able value, independent of the order of keys."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def require_digest(path: Path, expected: str, *, name: str, hint: str) -> None:
    """Hash `path` and raise DigestMismatch naming the file, what was expected and what was seen."""
    seen = sha256_file(path) if path.is_file() else "no such file"
    if seen != expected:
        raise DigestMismatch(
            f"{name} is not what was pinned", where=str(path), why=f"expected sha256 {expected}, seen {seen}", hint=hint
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it takes the place of `path` when the block ends well, and is gone when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def place(source: Path, target: Path) -> None:
    """Move a finished file to its place at once, also from another file system."""
    with replacing(target) as part:
        try:
            source.replace(part)
        except OSError:  # another file system: copy there, then rename
            shutil.copyfile(source, part)
            shutil.copymode(source, part)


def fingerprint(path: Path) -> list[int]:
    """Size and modification time (ns): recognises a file that was hashed before without reading it again."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
