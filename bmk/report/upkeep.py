"""Backups, certificates and rotations of encryption keys, as the page and `bmk status` show them; from the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmk.certificates.standing import moment
from bmk.datacenter.resolve import DataCenter
from bmk.journal import Journal
from bmk.journal.diagnosis import diagnose_cluster
from bmk.journal.host_status import age
from bmk.journal.records import BackupRecord, CertificatesRecord, KeyRotationOrder
from bmk.journal.rotation_causes import command
from bmk.report.drift import utc

OLD = 26 * 3600.0  # seconds after which a backup is old, as the alert of docs/backup.md has it


def backed_up(dc: DataCenter) -> list[str]:
    """Clusters that the file wants backups of."""
    return [name for name, cluster in dc.spec.clusters.items() if cluster.backup or dc.spec.backup]


def rotation_lines(orders: Mapping[str, KeyRotationOrder], dc: str, now: float) -> list[str]:
    """For people: rotations of encryption keys that are under way, by cluster."""
    return [
        f"encryption key of {name}: a rotation{f' to {order.key}' if order.texts else ''} is under way, begun "
        f"{age(order.at, now)} ago; next: {command(dc, name)}"
        for name, order in orders.items()
    ]


def upkeep(dc: DataCenter, journal: Journal | None, now: float) -> dict[str, Any]:
    """All of it as plain values: `backups` and `rotations` by cluster, `certificates` (None: nobody looked yet)."""
    if journal is None:
        empty = {name: BackupRecord() for name in backed_up(dc)}
        return {"backups": _backups(empty, now), "certificates": None, "rotations": [], "causes": _causes(dc, None)}
    records, orders = BackupRecord.load_all(journal), KeyRotationOrder.load_all(journal)
    wanted = {name: records.get(name) or BackupRecord() for name in backed_up(dc)}
    under_way = {name: order for name, order in orders.items() if name in dc.spec.clusters}
    return {
        "backups": _backups(wanted, now),
        "certificates": _certificates(dc, CertificatesRecord.load(journal, dc.name), now),
        "rotations": rotation_lines(under_way, dc.name, now),
        "causes": _causes(dc, journal),
    }


def _backups(records: Mapping[str, BackupRecord], now: float) -> list[dict[str, Any]]:
    """`state`: ready, or failed when none is proven or the newest is old."""
    return [
        {
            "cluster": cluster,
            "state": "ready" if record.newest and now - record.newest.at <= OLD else "failed",
            "age": age(record.newest.at, now) if record.newest else "never",
            "name": record.newest.name if record.newest else "",
            "revision": record.newest.revision if record.newest else 0,
            "size": record.newest.size if record.newest else 0,
            "kept": len(record.kept),
        }
        for cluster, record in records.items()
    ]


def _certificates(dc: DataCenter, seen: CertificatesRecord | None, now: float) -> dict[str, Any] | None:
    if seen is None:
        return None
    soonest = [{"where": where, "kind": kind, "ends": moment(ends)} for where, kind, ends in seen.soonest]
    return {
        "at": utc(seen.at),
        "age": age(seen.at, now),
        "counts": dict(sorted(seen.counts.items())),
        "wrong": sum(n for state, n in seen.counts.items() if state != "ok"),
        "soonest": soonest,
        "next": f"bmk certs show {dc.name}",
    }


def _causes(dc: DataCenter, journal: Journal | None) -> list[dict[str, str]]:
    """Why backups and rotations of clusters did not come about, with the next command."""
    told = {name: diagnose_cluster(journal, name, dc.name) for name in dc.spec.clusters} if journal else {}
    found = {name: story.cause for name, story in told.items() if story.at.state != "new"}
    return [
        {"cluster": name, "what": cause.what, "why": cause.why, "next": cause.hint}
        for name, cause in found.items()
        if cause is not None
    ]
