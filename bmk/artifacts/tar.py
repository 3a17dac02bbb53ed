"""Tars whose bytes depend only on what is in them: sorted, no times, no owners, fixed modes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# vfs_cap_data, version 2: permitted and effective
CAP_NET_BIND_SERVICE = bytes.fromhex("0100000200040000000000000000000000000000")


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One member. Exactly one of `source`, `data`, `link` is set; none of them: a directory. `path` is absolute."""

    path: str
    source: Path | None = None
    data: bytes | None = None
    link: str | None = None
    mode: int = 0o755
    capability: bytes | None = None

    @property
    def directory(self) -> bool:
        return self.source is None and self.data is None and self.link is None


def plain_tar(target: Path, programs: Mapping[str, Path]) -> None:
    """A tar of executables by name, without directories."""
    write_tar(target, [TarEntry(name, source=path) for name, path in programs.items()], parents=False)


def write_tar(target: Path, entries: Iterable[TarEntry], *, parents: bool = True) -> None:
    """Write the entries sorted by path; with `parents`, the directories above them too (mode 0755)."""
    members = {e.path.lstrip("/"): e for e in entries}
    if parents:
        for path in list(members):
            for parent in PurePosixPath(path).parents:
                if str(parent) != ".":
                    members.setdefault(str(parent), TarEntry(f"/{parent}"))
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(members):
            _add(tar, path, members[path])


def _add(tar: tarfile.TarFile, path: str, entry: TarEntry) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.mtime = entry.mode, 0
    if entry.capability:
        info.pax_headers = {"SCHILY.xattr.security.capability": entry.capability.decode("utf-8", "surrogateescape")}
    if entry.directory:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
    else:
        _add_bytes(tar, info, entry)


def _add_bytes(tar: tarfile.TarFile, info: tarfile.TarInfo, entry: TarEntry) -> None:
    if entry.source is None:
        info.size = len(entry.data or b"")
        tar.addfile(info, io.BytesIO(entry.data or b""))
        return
    info.size = entry.source.stat().st_size
    with entry.source.open("rb") as stream:
        tar.addfile(info, stream)
