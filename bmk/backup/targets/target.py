"""The port for places that keep backups. A kind is one module of this package, which is found by itself.

What is written is there whole or not at all, and never in the place of another: a name that is taken is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bmk.datacenter.backup_spec import BackupTargetSpec
from bmk.secrets import Credentials


class Upload(Protocol):
    """A backup that is being written. Left without `commit`, nothing of it is there."""

    def write(self, block: bytes, /) -> int: ...

    def commit(self) -> None:
        """Give it its name; BmkError when that is taken."""


class Source(Protocol):
    """A backup that is being read."""

    def read(self, size: int = -1, /) -> bytes: ...


class BackupTarget(Protocol):
    """Where backups are. Whatever goes wrong is a BmkError."""

    def begin(self, name: str) -> AbstractContextManager[Upload]: ...

    def open(self, name: str) -> AbstractContextManager[Source]:
        """BackupRefused("missing") when it is not there."""

    def names(self, prefix: str) -> list[str]:
        """Whole backups whose names begin so."""

    def remove(self, name: str) -> None:
        """Fine when it is gone already."""

    def sweep(self, prefix: str) -> int:
        """Remove what was begun under such names and never committed; how many."""


@dataclass(frozen=True, slots=True)
class TargetAccess:
    """What opening a target takes besides its settings: the deployer's key, secrets by reference, files of dc.yml."""

    identity: Callable[[], Path]
    secret: Callable[[str], Credentials]
    beside: Path


@dataclass(frozen=True, slots=True)
class TargetKind:
    """`name` is the field of `spec.backup.target` that has its settings; `make` opens it."""

    name: str
    make: Callable[[Any, TargetAccess], BackupTarget]

    def fits(self, spec: BackupTargetSpec) -> bool:
        return getattr(spec, self.name) is not None
