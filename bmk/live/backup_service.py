"""Backups of one cluster: taken from a control plane, proven, sealed, kept, and tried again with a private key.

The order is what makes a backup count: plain in memory, proven, encrypted into its place under its name, read back, on
record. Killed anywhere before the end, there is a partial file at most, which the next run removes.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.backup.collect import copy_journal
from bmk.backup.manifest import FILES, JOURNAL, SNAPSHOT, BackupManifest, EtcdState
from bmk.backup.proof import ProofRequest, prove
from bmk.backup.refusal import refused
from bmk.backup.retention import surplus
from bmk.backup.scratch import require_room, scratch
from bmk.backup.store import Stored, check, listed, seal, unseal
from bmk.backup.targets import BackupTarget
from bmk.datacenter.backup_spec import BackupSpec
from bmk.datacenter.resolve import DataCenter
from bmk.errors import BackupRefused, BmkError, LockHeld
from bmk.journal import Event, Journal
from bmk.journal.backup_causes import BEGUN, FAILED, PROVEN, REASONS
from bmk.journal.records import BackupRecord, ProvenBackup

_TRIES = 3  # when etcd is compacted between snapshot and comparison, which its API servers do every five minutes
TRIED, REMOVED, KEPT = "restore.tried", "backup.removed", "backup.kept"


@dataclass(frozen=True, slots=True)
class BackupSite:
    """One cluster and what its backups take. `collect` puts what a control plane sends below a directory."""

    dc: DataCenter
    journal: Journal
    cluster: str
    spec: BackupSpec
    target: BackupTarget
    programs: Mapping[str, Path]
    collect: Callable[[Path], EtcdState]
    tell: Callable[[str], None] = lambda _: None

    @property
    def prefix(self) -> str:
        """What names of its backups begin with."""
        return f"{self.dc.name}.{self.cluster}."

    @property
    def record(self) -> BackupRecord:
        return BackupRecord.load(self.journal, self.cluster) or BackupRecord()

    def log(self, kind: str, text: str, level: Any = "info", **data: Any) -> None:
        self.journal.append(Event("bmk", kind, text, self.cluster, "backup", level=level, data=data))


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Which backup is tried, with which private keys. `digest`: sha256 by a record of the user's own, for one that the
    journal does not know. `older`: it need not be the newest.
    """

    identities: Sequence[Any]
    name: str | None = None
    digest: str | None = None
    older: bool = False


def back_up(site: BackupSite, *, older: bool = False) -> ProvenBackup:
    """Take a backup, prove it, keep it, and let go what is beyond the retention. Raises BackupRefused and others, after
    it is in the journal. `older`: etcd may be older than the newest proven backup.
    """
    with _alone(site), _logged(site):
        site.log(BEGUN, "a backup was begun")
        _clear(site)
        done = _take_with_retries(site, older)
        kept = BackupRecord(at=time.time(), kept=(*site.record.kept, done))
        with site.journal.transaction():
            kept.save(site.journal, site.cluster)
            site.log(PROVEN, f"{done.name}: revision {done.revision}, {done.keys} keys", **done.model_dump())
        _apply_retention(site, kept)
        _check_older_backup(site)
        return done


def try_restore(site: BackupSite, wish: RestoreRequest) -> BackupManifest:
    """Restore a backup into a scratch etcd and API server, and compare. Raises BackupRefused with a reason."""
    with _hinted(site):
        name, stored = _chosen(site, wish)
        check(site.target, name, stored)
        with scratch() as root:
            manifest = unseal(site.target, name, wish.identities, root, site.spec.largest << 30)
            if (manifest.datacenter, manifest.cluster) != (site.dc.name, site.cluster):
                raise refused("wrong-cluster", f"it is of {manifest.cluster} in {manifest.datacenter}", name)
            require_room(root, (root / SNAPSHOT).stat().st_size)
            prove(_proof(site, root, manifest.etcd), site.tell)
        site.log(TRIED, f"{name} restores: revision {manifest.etcd.revision}", name=name)
        return manifest


def _take_with_retries(site: BackupSite, older: bool) -> ProvenBackup:
    for left in reversed(range(_TRIES)):
        try:
            with scratch() as root:
                return _take(site, root, older)
        except BackupRefused as error:
            if error.reason != "moved" or not left:
                raise
            site.tell(f"{error.why}: once more")
    raise AssertionError("the last try returns or raises")


def _take(site: BackupSite, root: Path, older: bool) -> ProvenBackup:
    began = time.time()
    state = site.collect(root)
    newest = site.record.newest
    if not older and newest and newest.cluster_id == state.cluster_id and state.revision < newest.revision:
        raise refused("went-back", f"revision {state.revision}, that of {newest.name} is {newest.revision}")
    require_room(root, (root / SNAPSHOT).stat().st_size)
    site.tell(f"snapshot of {(root / SNAPSHOT).stat().st_size / 1e6:.1f} MB taken: revision {state.revision}")
    proof = prove(_proof(site, root, state), site.tell)
    copy_journal(site.journal, root / JOURNAL)
    names = [SNAPSHOT, JOURNAL, *(name for name in FILES if (root / name).exists())]
    manifest = BackupManifest(
        schema=1, datacenter=site.dc.name, cluster=site.cluster, name=_name(site, began), at=began,
        kubernetes=site.dc.cluster(site.cluster).kubernetes.version,
        source=hashlib.sha256(site.dc.source.read_bytes()).hexdigest(),
        etcd=state, files=listed(root, names), proof=proof,
    )  # fmt: skip
    site.record.model_copy(update={"pending": manifest.name}).save(site.journal, site.cluster)
    stored = seal(site.target, root, manifest, site.spec.recipients)
    return ProvenBackup(
        name=manifest.name, at=began, sha256=stored.sha256, size=stored.size or 0,
        revision=state.revision, keys=state.keys,
        cluster_id=state.cluster_id, objects=proof.objects, secrets=proof.secrets,
    )  # fmt: skip


def _name(site: BackupSite, at: float) -> str:
    return f"{site.prefix}{time.strftime('%Y%m%dt%H%M%Sz', time.gmtime(at))}-{secrets.token_hex(4)}.age"


def _proof(site: BackupSite, root: Path, state: EtcdState) -> ProofRequest:
    return ProofRequest(root, site.programs, state, str(site.dc.cluster(site.cluster).network.services))


def _clear(site: BackupSite) -> None:
    """Remove what a run left that was killed while it stored a backup, whole or not: nobody has its record."""
    if swept := site.target.sweep(site.prefix):
        site.tell(f"{swept} unfinished files of earlier runs removed")
    if pending := site.record.pending:
        site.target.remove(pending)
        site.record.model_copy(update={"pending": None}).save(site.journal, site.cluster)


def _apply_retention(site: BackupSite, kept: BackupRecord) -> None:
    """A target may refuse, as one that is immutable does: the backup stays on record, and goes another time."""
    for one in surplus(kept.kept, site.spec.retention, time.time()):
        try:
            site.target.remove(one.name)
        except BmkError as error:
            site.log(KEPT, f"{one.name} could not be removed", "warning", why=error.why)
            continue
        _forget(site, one)
        site.log(REMOVED, f"{one.name} is beyond the retention")


def _forget(site: BackupSite, one: ProvenBackup) -> None:
    record = site.record
    record.model_copy(update={"kept": tuple(k for k in record.kept if k.name != one.name)}).save(
        site.journal, site.cluster
    )


def _check_older_backup(site: BackupSite) -> None:
    """What is stored has to be what was proven: one at random each time. One that is not does not count any more."""
    if older := site.record.kept[:-1]:
        one = random.SystemRandom().choice(older)
        try:
            check(site.target, one.name, Stored(one.size, one.sha256))
        except BackupRefused as error:
            if error.reason != "target":
                _forget(site, one)
            raise


def _chosen(site: BackupSite, wish: RestoreRequest) -> tuple[str, Stored]:
    """The backup to try, and what is known of its file: by the journal, or by the user. Raises BackupRefused."""
    newest = site.record.newest
    name = wish.name or (newest.name if newest else None)
    if name is None:
        raise refused("unrecorded", "no backup of this cluster is on record, and none was named")
    known = next((one for one in site.record.kept if one.name == name), None)
    if known is None:
        if wish.digest is None:
            raise refused("unrecorded", "", name)
        return name, Stored(None, wish.digest)
    if newest and known.name != newest.name and not wish.older:
        raise refused("older", f"revision {known.revision}, that of {newest.name} is {newest.revision}", name)
    if wish.digest not in (None, known.sha256):
        raise refused("altered", f"the journal has {known.sha256}", name)
    return name, Stored(known.size, known.sha256)


@contextmanager
def _alone(site: BackupSite) -> Iterator[None]:
    hold = site.journal.hold(f"backup-{site.cluster}")
    if hold is None:
        raise LockHeld("another backup of this cluster is being taken", where=site.cluster)
    try:
        yield
    finally:
        hold.release()


@contextmanager
def _hinted(site: BackupSite) -> Iterator[None]:
    """The next command of a refusal names this data center and cluster."""
    try:
        yield
    except BackupRefused as error:
        known = REASONS.get(error.reason)
        if known is not None:
            error.hint = known.hint.format(dc=site.dc.name, cluster=site.cluster)
        raise


@contextmanager
def _logged(site: BackupSite) -> Iterator[None]:
    try:
        with _hinted(site):
            yield
    except BmkError as error:
        reason = error.reason if isinstance(error, BackupRefused) else ""
        where = f"{error.where}: " if error.where else ""
        site.log(FAILED, error.what, "error", reason=reason, why=f"{where}{error.why}"[:500], hint=error.hint)
        raise
