"""Initial ramdisks as the kernel reads them (cpio "newc"), with members in order, no times and root as owner."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class File:
    """One member. `link`: a symbolic link to it; else a regular file."""

    data: bytes = b""
    mode: int = 0o644
    link: str | None = None


def write_cpio(out: BinaryIO, files: Mapping[str, File]) -> None:
    """Write files by path (without a leading slash) and the directories above them."""
    directories = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    number = 0
    for number, path in enumerate(sorted(directories | set(files)), 1):
        file = files.get(path)
        if file is None:
            _member(out, number, path, stat.S_IFDIR | 0o755, b"")
        elif file.link is not None:
            _member(out, number, path, stat.S_IFLNK | 0o777, file.link.encode())
        else:
            _member(out, number, path, stat.S_IFREG | file.mode, file.data)
    _member(out, number + 1, "TRAILER!!!", 0, b"")


def _member(out: BinaryIO, number: int, path: str, mode: int, data: bytes) -> None:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
    out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
    out.write(bytes(-(110 + len(name)) % 4) + data + bytes(-len(data) % 4))
