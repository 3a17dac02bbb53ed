"""The plain tar in which a backup travels: from the control plane to the deployer, and within the encrypted file.

Only what tar has had from the beginning: a header of 512 bytes with name and size, then the content. Python's `tarfile`
would follow a header of another kind into memory without end; who sends may be anybody, so here a header of a kind,
name or size that is not expected ends the reading. `tar x` reads it too, for the day on which there is no bmk.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bmk.backup.refusal import refused
from bmk.errors import PreflightRefused

BLOCK = 512
CHUNK = 1 << 20
_END = bytes(BLOCK)
Read = Callable[[int], bytes]  # at most so many bytes; none at the end


@dataclass(frozen=True, slots=True)
class Received:
    """A member that was read: its size in bytes and the sha256 of its content."""

    size: int
    sha256: str


def unpack(read: Read, into: Path, most: Callable[[str], int | None]) -> Mapping[str, Received]:
    """Write the members below a directory; by name, in their order.

    `most` says how many bytes a member may have, None for one that is not expected. Raises BackupRefused.
    """
    found: dict[str, Received] = {}
    while True:
        head = _exactly(read, BLOCK)
        if head == _END:
            return found
        name, size = _header(head)
        bound = most(name)
        if bound is None or name in found:
            raise refused("strange", f"a member {name!r} that is not expected"[:200])
        if size > bound:
            raise refused("strange", f"{name} has {size} bytes, at most {bound} are expected")
        found[name] = _keep(read, into / name, size)
        _exactly(read, -size % BLOCK)


def packed(members: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """A tar of these files, by the name that each has in it."""
    for name, path in members:
        size = path.stat().st_size
        head = tarfile.TarInfo(name)
        head.size, head.mode = size, 0o600
        yield head.tobuf(tarfile.GNU_FORMAT)
        with path.open("rb") as file:
            while block := file.read(CHUNK):
                yield block
        yield bytes(-size % BLOCK)
    yield 2 * _END


def _header(block: bytes) -> tuple[str, int]:
    try:
        found = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise refused("strange", f"no header of a tar where one is expected: {error}") from error
    if found.type != tarfile.REGTYPE or found.size < 0:
        raise refused("strange", f"{found.name!r} is no plain file"[:200])
    return found.name, found.size


def _keep(read: Read, path: Path, size: int) -> Received:
    digest, left = hashlib.sha256(), size
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as file:
        while left:
            block = read(min(left, CHUNK))
            if not block:
                raise refused("truncated", f"{left} bytes of {path.name} are missing")
            _write(file, block, path)
            digest.update(block)
            left -= len(block)
    return Received(size, digest.hexdigest())


def _write(file: BinaryIO, block: bytes, path: Path) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise PreflightRefused("no room for what is plain in a backup", where=str(path), why=str(error)) from error


def _exactly(read: Read, size: int) -> bytes:
    parts, left = [], size
    while left:
        block = read(left)
        if not block:
            raise refused("truncated", "it ends before its end mark")
        parts.append(block)
        left -= len(block)
    return b"".join(parts)
