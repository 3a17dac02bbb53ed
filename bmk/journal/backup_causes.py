"""Why a backup does not count, and what comes next: for the error itself and for `bmk why`. Pure; reasons are data.

Each has a case in tests/unit/backup, most of them a backup that is damaged in that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmk.journal.cause_rule import Cause
from bmk.journal.events import Event

BEGUN, PROVEN, FAILED = "backup.begun", "backup.proven", "backup.failed"
_AGAIN = "bmk backup {dc} {cluster} takes another"
_OTHER = "bmk backup {dc} {cluster} --list names others; bmk restore {dc} {cluster} --dry-run --backup NAME tries one"
_LOST = "find out who can write there; " + _OTHER


@dataclass(frozen=True, slots=True)
class BackupReason:
    """What is said of it, and the next command; `{dc}` and `{cluster}` are filled in."""

    what: str
    hint: str


REASONS: Mapping[str, BackupReason] = {
    "truncated": BackupReason("the backup ends too early", _OTHER),
    "altered": BackupReason("the backup is not what was stored: its bytes were changed", _LOST),
    "missing": BackupReason("the backup is not where it was stored", _LOST),
    "unrecorded": BackupReason(
        "the journal does not know this backup, and anybody can encrypt to its recipients",
        "bmk backup {dc} {cluster} --list names those that were proven; --digest SHA256, from a record of your own",
    ),
    "older": BackupReason(
        "this is not the newest proven backup: what was written since would be lost",
        "bmk restore {dc} {cluster} --dry-run without --backup takes the newest; --older, when this one is meant",
    ),
    "wrong-key": BackupReason(
        "no private key of this file opens the backup", "--identity with the file of one of the recipients in dc.yml"
    ),
    "not-age": BackupReason("this is no file that age encrypted", _LOST),
    "strange": BackupReason("the backup holds what none of bmk's does", _LOST),
    "incomplete": BackupReason("the backup lacks files that a control plane needs", _OTHER),
    "wrong-cluster": BackupReason("the backup is of another cluster", _OTHER),
    "hashless": BackupReason(
        "the snapshot has no hash at its end: it was not taken through a member, or is not whole", _AGAIN
    ),
    "snapshot-damaged": BackupReason("the snapshot is damaged: the hash at its end is not that of its bytes", _AGAIN),
    "keys": BackupReason("keys of the backup do not belong together", "bmk drift {dc} shows who changed them"),
    "encryption": BackupReason(
        "the settings of encryption at rest are not as bmk writes them: keys in the file itself, and nothing else",
        "bmk hardening {dc} compares them with other control planes; then: bmk backup {dc} {cluster}",
    ),
    "unrestorable": BackupReason("etcd does not come back from this snapshot", _AGAIN),
    "differs": BackupReason(
        "what etcd came back with is not what the member had", "bmk verify {dc}; then: bmk backup {dc} {cluster}"
    ),
    "moved": BackupReason("etcd was compacted while it was compared", _AGAIN),
    "api": BackupReason("no API server starts from this backup", "bmk artifacts verify; bmk hardening {dc}"),
    "unreadable": BackupReason(
        "objects of the backup cannot be read: an encryption key is not the one that they were written with",
        "bmk hardening {dc} compares the keys of control planes; then: bmk backup {dc} {cluster}",
    ),
    "went-back": BackupReason(
        "etcd is older than the newest proven backup of it: somebody restored or replaced it",
        "bmk why {dc} {cluster}; when that was on purpose: bmk backup {dc} {cluster} --older",
    ),
    "target": BackupReason(
        "the place for backups refuses", "compare spec.backup.target of dc.yml; then: bmk backup {dc} {cluster}"
    ),
}
_INTERRUPTED = Cause("a backup was interrupted", "it began and did not end", "bmk backup {dc} {cluster}")


def backup_cause(events: Sequence[Event], dc: str, cluster: str) -> Cause | None:
    """Why the newest backup of a cluster did not come about; None when it did, or none was ever taken."""
    event = next((e for e in reversed(events) if e.kind in (BEGUN, PROVEN, FAILED)), None)
    if event is None or event.kind == PROVEN:
        return None
    if event.kind == BEGUN:
        return Cause(_INTERRUPTED.what, event.text, _INTERRUPTED.hint.format(dc=dc, cluster=cluster))
    reason = REASONS.get(str(event.data.get("reason") or ""))
    why, hint = (str(event.data.get(key) or "") for key in ("why", "hint"))
    return Cause(
        event.text, why, reason.hint.format(dc=dc, cluster=cluster) if reason else hint or f"bmk backup {dc} {cluster}"
    )
