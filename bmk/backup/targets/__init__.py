"""Places that keep backups: a directory, another machine by ssh, a bucket. One module each; see `target.py`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from bmk.backup.targets.target import BackupTarget, Source, TargetAccess, TargetKind, Upload
from bmk.datacenter.backup_spec import BackupTargetSpec

__all__ = ["KINDS", "BackupTarget", "Source", "TargetAccess", "TargetKind", "Upload", "open_target"]

KINDS: tuple[TargetKind, ...] = tuple(
    value
    for found in iter_modules(__path__)
    for value in vars(import_module(f"{__name__}.{found.name}")).values()
    if isinstance(value, TargetKind)
)


def open_target(spec: BackupTargetSpec, access: TargetAccess) -> BackupTarget:
    """The place that the file names."""
    kind = next(kind for kind in KINDS if kind.fits(spec))
    return kind.make(getattr(spec, kind.name), access)
