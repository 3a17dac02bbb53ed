"""Backups of clusters in every format: rows, Prometheus metrics. Pure; told from the journal's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmk.journal.host_status import age
from bmk.journal.records import BackupRecord
from bmk.report.drift import utc
from bmk.report.prometheus import Gauge, metrics

Records = Mapping[str, BackupRecord]  # by cluster; those that the file wants backups of, with an empty one for none


def rows(records: Records, now: float) -> list[dict[str, Any]]:
    """One for each backup that is kept, the newest of a cluster first."""
    return [
        {
            "backup": one.name,
            "cluster": cluster,
            "age": age(one.at, now),
            "at": utc(one.at),
            "revision": one.revision,
            "keys": one.keys,
            "secrets": one.secrets,
            "size": one.size,
            "sha256": one.sha256,
        }
        for cluster, record in records.items()
        for one in reversed(record.kept)
    ]


def lines(records: Records, now: float) -> list[str]:
    """For people: how old the newest proven backup of each cluster is."""
    return [_line(cluster, record, now) for cluster, record in records.items()]


def _line(cluster: str, record: BackupRecord, now: float) -> str:
    one = record.newest
    if one is None:
        return f"backup of {cluster}: NONE was ever proven"
    return f"backup of {cluster}: proven, {age(one.at, now)} old, revision {one.revision}; {len(record.kept)} kept"


def as_metrics(dc: str, records: Records) -> str:
    """A Prometheus textfile. The age of a backup is for Prometheus to count: `time() - ...`; 0 is never."""
    return metrics(
        dc,
        [
            Gauge("bmk_backup_last_proven_timestamp_seconds", "When the newest backup that was proven was begun.",
                  [(round(r.newest.at) if r.newest else 0, {"cluster": name}) for name, r in records.items()]),
            Gauge("bmk_backup_kept", "Proven backups that are kept.",
                  [(len(r.kept), {"cluster": name}) for name, r in records.items()]),
            Gauge("bmk_backup_size_bytes", "Size of the newest proven backup.",
                  [(r.newest.size, {"cluster": name}) for name, r in records.items() if r.newest]),
            Gauge("bmk_backup_revision", "Revision of etcd in the newest proven backup.",
                  [(r.newest.revision, {"cluster": name}) for name, r in records.items() if r.newest]),
        ],
    )  # fmt: skip
