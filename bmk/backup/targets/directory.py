"""Backups in a directory of this machine: what is mounted there is the administrator's choice."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bmk.backup.refusal import refused
from bmk.backup.targets.target import Source, TargetAccess, TargetKind, Upload
from bmk.datacenter.backup_spec import DirectoryTarget

PARTIAL = ".partial"  # what ends so was never finished


class _File:
    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(f".{path.name}{PARTIAL}")
        self._file = os.fdopen(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, block: bytes) -> int:
        return self._file.write(block)

    def commit(self) -> None:
        """A link is made only where there is none. On disk before it has its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o400)
        os.link(self._partial, self._path)
        held = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(held)
        os.close(held)

    def end(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


class BackupDirectory:
    """The directory has to be there: one that is made would hide that a file system is not mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def begin(self, name: str) -> Iterator[Upload]:
        with self._told():
            file = _File(self._path / name)
            try:
                yield file
            finally:
                file.end()

    @contextmanager
    def open(self, name: str) -> Iterator[Source]:
        with self._told(), (self._path / name).open("rb") as file:
            yield file

    def names(self, prefix: str) -> list[str]:
        with self._told():
            return sorted(path.name for path in self._path.iterdir() if path.name.startswith(prefix))

    def remove(self, name: str) -> None:
        with self._told():
            (self._path / name).unlink(missing_ok=True)

    def sweep(self, prefix: str) -> int:
        with self._told():
            left = [p for p in self._path.iterdir() if p.name.startswith(f".{prefix}") and p.name.endswith(PARTIAL)]
            for path in left:
                with suppress(FileNotFoundError):
                    path.unlink()
            return len(left)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = str(error.filename or self._path)
            missing = error.errno == errno.ENOENT and self._path.is_dir()
            raise refused("missing" if missing else "target", os.strerror(error.errno or 0), where) from error


def _made(spec: DirectoryTarget, _: TargetAccess) -> BackupDirectory:
    return BackupDirectory(Path(spec.path))


KIND = TargetKind("directory", _made)
