"""Backups in a directory of another machine, by sftp with the deployer's key and a pinned host key."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bmk.backup.refusal import refused
from bmk.backup.targets.directory import PARTIAL
from bmk.backup.targets.target import Source, TargetAccess, TargetKind, Upload
from bmk.datacenter.backup_spec import SshTarget
from bmk.ssh import Target as Door
from bmk.ssh import files_of

_PORT = 22


class _Remote:
    def __init__(self, files: Any, path: str, partial: str) -> None:
        self._files, self._path, self._partial = files, path, partial
        self._file = files.open(partial, "wx")  # x: only when it is not there
        self._file.set_pipelined(True)

    def write(self, block: bytes) -> int:
        self._file.write(block)
        return len(block)

    def commit(self) -> None:
        """sftp's own rename fails where the new name is taken; the size is asked, because servers may be full."""
        sent = self._file.tell()
        self._file.close()
        self._files.chmod(self._partial, 0o400)
        if (there := self._files.stat(self._partial).st_size) != sent:
            raise OSError(errno.EIO, f"it has {there} of {sent} bytes")
        self._files.rename(self._partial, self._path)

    def end(self) -> None:
        with suppress(OSError, EOFError):
            self._file.close()
            self._files.remove(self._partial)


class SshDirectory:
    """A connection for each thing that is done."""

    def __init__(self, door: Door, path: str) -> None:
        self._door, self._path = door, path

    @contextmanager
    def begin(self, name: str) -> Iterator[Upload]:
        with self._files() as files:
            remote = _Remote(files, f"{self._path}/{name}", f"{self._path}/.{name}{PARTIAL}")
            try:
                yield remote
            finally:
                remote.end()

    @contextmanager
    def open(self, name: str) -> Iterator[Source]:
        with self._files() as files, files.open(f"{self._path}/{name}", "rb", 1 << 16) as file:
            file.prefetch()
            yield file

    def names(self, prefix: str) -> list[str]:
        with self._files() as files:
            return sorted(name for name in files.listdir(self._path) if name.startswith(prefix))

    def remove(self, name: str) -> None:
        with self._files() as files, suppress(FileNotFoundError):
            files.remove(f"{self._path}/{name}")

    def sweep(self, prefix: str) -> int:
        with self._files() as files:
            left = [n for n in files.listdir(self._path) if n.startswith(f".{prefix}") and n.endswith(PARTIAL)]
            for name in left:
                with suppress(FileNotFoundError):
                    files.remove(f"{self._path}/{name}")
            return len(left)

    @contextmanager
    def _files(self) -> Iterator[Any]:
        """OSError of the server's files is told as one of the target; one without a file is the directory's."""
        with files_of(self._door) as files:
            try:
                yield files
            except OSError as error:
                missing = error.errno == errno.ENOENT and _is_directory(files, self._path)
                why = error.strerror or str(error) or type(error).__name__
                raise refused("missing" if missing else "target", why, f"{self._door.address}:{self._path}") from error


def _is_directory(files: Any, path: str) -> bool:
    try:
        return stat.S_ISDIR(files.stat(path).st_mode or 0)
    except OSError:
        return False


def _made(spec: SshTarget, access: TargetAccess) -> SshDirectory:
    host, _, port = spec.host.partition(":")
    door = Door(host, access.identity(), (spec.host_key,), user=spec.user, port=int(port or _PORT))
    return SshDirectory(door, os.path.normpath(spec.path))


KIND = TargetKind("ssh", _made)
