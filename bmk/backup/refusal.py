"""Why a backup does not count: one error, with a reason that `bmk why` knows."""

from __future__ import annotations

from bmk.errors import BackupRefused
from bmk.journal.backup_causes import REASONS


def refused(reason: str, why: str = "", where: str = "") -> BackupRefused:
    """The error of a reason of `REASONS`; who knows data center and cluster completes its hint."""
    return BackupRefused(REASONS[reason].what, reason=reason, why=why, where=where, hint=REASONS[reason].hint)
