"""Which backups may go. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.datacenter.backup_spec import BackupRetention
from bmk.journal.records import ProvenBackup

_DAY = 86400.0


def surplus(kept: Sequence[ProvenBackup], rule: BackupRetention, now: float) -> list[ProvenBackup]:
    """Those beyond the newest `count`, and those older than `days`; never the newest one, however old it is.

    `kept` holds proven backups only, the newest last: what was never proven is not bmk's to count or to remove.
    """
    older = kept[:-1]
    beyond = older[: max(0, len(kept) - rule.count)]
    return [one for one in older if one in beyond or one.at < now - rule.days * _DAY]
