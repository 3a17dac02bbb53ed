"""Backups of a real cluster: taken, proven, kept, tried with the private key; and damaged ones, each by its name."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from bmk.backup.archive import packed, unpack
from bmk.backup.manifest import MANIFEST, SNAPSHOT, parse
from bmk.backup.sealing import decrypted, encrypt
from bmk.backup.store import listed
from bmk.errors import LockHeld
from bmk.journal.backup_causes import BEGUN, FAILED, PROVEN
from bmk.live.backup_service import BackupSite, RestoreRequest, back_up, try_restore
from tests.services.backup.conftest import CLUSTER, KEY, MAPS, OTHER, SECRETS, Member, Taken, left_in_memory, reason

pytestmark = pytest.mark.services
WISH = RestoreRequest([KEY])


def _file(site: BackupSite, name: str) -> Path:
    return Path(site.dc.spec.backup.target.directory.path) / name  # type: ignore[union-attr]


def _spoil(site: BackupSite, name: str, content: bytes) -> None:
    _file(site, name).chmod(0o600)
    _file(site, name).write_bytes(content)


def test_a_backup_is_proven_and_restores(taken: Taken) -> None:
    """Every key and every secret, compared with the member that gave it; again with the private key; nothing plain is
    left."""
    site = taken.site
    older, done = site.record.kept
    assert done.keys == older.keys + 1
    assert done.revision > older.revision
    assert done.secrets >= SECRETS
    assert done.keys > SECRETS + MAPS
    assert done.objects == 50
    assert sorted(path.name for path in _file(site, "").iterdir()) == sorted([older.name, done.name])
    assert _file(site, done.name).stat().st_size == done.size
    manifest = try_restore(site, WISH)
    assert (manifest.name, manifest.etcd.revision, manifest.etcd.keys) == (done.name, done.revision, done.keys)
    assert manifest.proof is not None
    assert manifest.proof.kinds > 30
    assert left_in_memory() == []
    kinds = [event.kind for event in site.journal.since(host=CLUSTER)]
    assert kinds == [BEGUN, PROVEN, BEGUN, PROVEN, "restore.tried"]


def test_nothing_secret_is_told(taken: Taken, member: Member) -> None:
    """Neither in the file, nor in the journal, nor in the arguments of what runs meanwhile."""
    key = json.loads((member.root / "etc/kubernetes/bmk/encryption.yaml").read_text())
    secret = key["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"]
    private = (member.root / "etc/kubernetes/pki/ca.key").read_text().splitlines()[1]
    site = taken.site
    texts = [*taken.said, json.dumps([str(e) for e in site.journal.since()]), str(site.journal.records("backups"))]
    assert any("kube-apiserver" in text and "bmk-backup-" in text for text in texts), "it was looked while it ran"
    assert not [text for text in texts if secret in text or private in text]
    for path in _file(site, "").iterdir():
        assert secret.encode() not in path.read_bytes()
        assert b"snapshot" not in path.read_bytes()


def test_a_new_one_lets_the_oldest_go_and_looks_at_another(two: BackupSite) -> None:
    """Two are kept. What is not as it was proven does not count any more; the new one does. What was put there by
    others is neither counted nor removed."""
    oldest, changed = two.record.kept
    _file(two, "kept.apps.by-hand.age").write_bytes(b"x")
    _spoil(two, changed.name, _file(two, changed.name).read_bytes()[:-1] + b"x")
    assert reason(lambda: back_up(two)) == "altered"
    (left,) = two.record.kept
    assert left.name not in (oldest.name, changed.name)
    assert sorted(p.name for p in _file(two, "").iterdir()) == sorted(
        [changed.name, left.name, "kept.apps.by-hand.age"]
    )
    assert [e.kind for e in two.journal.since(host=CLUSTER)] == [BEGUN, PROVEN, "backup.removed", FAILED]


def test_two_at_once_do_not_mix(site: BackupSite) -> None:
    """The second is told; the first goes on."""
    hold = site.journal.hold(f"backup-{CLUSTER}")
    assert hold is not None
    with pytest.raises(LockHeld):
        back_up(site)
    hold.release()
    assert site.journal.since(host=CLUSTER) == []


def _repacked(site: BackupSite, name: str, change: Callable[[Path], None], work: Path, **manifest: object) -> None:
    """What somebody makes who knows the recipients, and writes where the backups are: whole, encrypted, and other."""
    root = work / "repacked"
    with _file(site, name).open("rb") as file, decrypted(file, [KEY]) as read:
        unpack(read, root, lambda _: 1 << 30)
    change(root)
    old = parse((root / MANIFEST).read_bytes())
    files = listed(root, [f.name for f in old.files if (root / f.name).exists()])
    fresh = old.model_copy(update={"files": files, **manifest})
    (root / MANIFEST).write_text(fresh.text())
    members = [(MANIFEST, root / MANIFEST), *((f.name, root / f.name) for f in files)]
    _file(site, name).chmod(0o600)
    with _file(site, name).open("wb") as out:
        sealed = encrypt(packed(members), site.spec.recipients, out)
    record = site.record
    kept = tuple(
        one.model_copy(update={"sha256": sealed.sha256, "size": sealed.size}) if one.name == name else one
        for one in record.kept
    )
    record.model_copy(update={"kept": kept}).save(site.journal, CLUSTER)


def _cut(path: str, size: int) -> Callable[[Path], None]:
    return lambda root: os.truncate(root / path, (root / path).stat().st_size - size)


def _flip(path: str, at: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        content = bytearray((root / path).read_bytes())
        content[at] ^= 1
        (root / path).write_bytes(content)

    return change


def _other_key(root: Path) -> None:
    """The cluster's secrets were written with another one."""
    path = root / "files/etc/kubernetes/bmk/encryption.yaml"
    text = json.loads(path.read_text())
    text["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"] = (
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    )
    path.write_text(json.dumps(text))


def _kms(root: Path) -> None:
    """Their API server would open a socket of this machine, and send what it is to decrypt."""
    path = root / "files/etc/kubernetes/bmk/encryption.yaml"
    text = json.loads(path.read_text())
    kms = {"apiVersion": "v2", "name": "x", "endpoint": f"unix://{root}/socket", "timeout": "1s"}
    text["resources"][0]["providers"].append({"kms": kms})
    path.write_text(json.dumps(text))


def _other_signer(root: Path) -> None:
    (root / "files/etc/kubernetes/pki/sa.key").write_bytes((root / "files/etc/kubernetes/pki/ca.key").read_bytes())


def _gone(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def _nothing(root: Path) -> None:
    """Only what the manifest says is other."""


STORED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda content: content[:-100], "truncated"),
    "bit flipped": (lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:], "altered"),
    "longer": (lambda content: content + b"x", "altered"),
    "of somebody else": (lambda content: b"no backup" + content[9:], "altered"),
}


@pytest.mark.parametrize("damage", STORED)
def test_a_file_that_is_not_what_was_stored_is_refused(two: BackupSite, damage: str) -> None:
    """By the journal's record, before anything of it is decrypted."""
    name = two.record.kept[-1].name
    change, expected = STORED[damage]
    _spoil(two, name, change(_file(two, name).read_bytes()))
    assert reason(lambda: try_restore(two, WISH)) == expected


def test_what_is_stored_and_not_this_backup_is_refused(two: BackupSite) -> None:
    """Another private key, an older backup, one that is not on record, one that is gone."""
    older, newest = two.record.kept
    assert reason(lambda: try_restore(two, RestoreRequest([OTHER]))) == "wrong-key"
    assert reason(lambda: try_restore(two, RestoreRequest([KEY], older.name))) == "older"
    two.record.model_copy(update={"kept": (older,)}).save(two.journal, CLUSTER)
    assert reason(lambda: try_restore(two, RestoreRequest([KEY], newest.name))) == "unrecorded"
    assert reason(lambda: try_restore(two, RestoreRequest([KEY], newest.name, "0" * 64))) == "altered"
    _file(two, older.name).unlink()
    assert reason(lambda: try_restore(two, WISH)) == "missing"


def test_a_dry_run_needs_no_journal(two: BackupSite) -> None:
    """With the digest by somebody's own record, and of the older one when that is meant."""
    older, newest = two.record.kept
    two.record.model_copy(update={"kept": ()}).save(two.journal, CLUSTER)
    assert try_restore(two, RestoreRequest([KEY], older.name, older.sha256)).etcd.revision < newest.revision


WITHIN: dict[str, tuple[Callable[[Path], None], dict[str, object], str]] = {
    "without its hash": (_cut(SNAPSHOT, 32), {}, "hashless"),
    "a flipped page": (_flip(SNAPSHOT, 9000), {}, "snapshot-damaged"),
    "another encryption key": (_other_key, {}, "unreadable"),
    "a KMS": (_kms, {}, "encryption"),
    "another signing key": (_other_signer, {}, "keys"),
    "without an authority": (_gone("files/etc/kubernetes/pki/ca.key"), {}, "incomplete"),
    "of another cluster": (_nothing, {"cluster": "other"}, "wrong-cluster"),
    "of another data center": (_nothing, {"datacenter": "other"}, "wrong-cluster"),
}


@pytest.mark.parametrize("damage", WITHIN)
def test_a_backup_that_is_damaged_within_is_refused(two: BackupSite, tmp_path: Path, damage: str) -> None:
    """Whole as a file and encrypted to the right recipient: the proof finds it, and names it."""
    change, manifest, expected = WITHIN[damage]
    _repacked(two, two.record.kept[-1].name, change, tmp_path, **manifest)
    assert reason(lambda: try_restore(two, WISH)) == expected
    assert left_in_memory() == []


def test_a_restored_cluster_calls_nobody(taken: Taken, member: Member) -> None:
    """Its extensions and webhooks name addresses: whoever may write them would let the deployer connect there. The
    cluster itself stands still meanwhile, so whoever calls is the scratch API server."""
    with ExitStack() as stack:
        doors = {why: stack.enter_context(socket.create_server(("127.0.0.1", p))) for why, p in member.calls.items()}
        member.process.send_signal(signal.SIGSTOP)
        stack.callback(member.process.send_signal, signal.SIGCONT)
        try_restore(taken.site, WISH)
        waiting = select.select(list(doors.values()), [], [], 0)[0]
        assert [why for why, door in doors.items() if door in waiting] == []


def test_a_manifest_that_says_more_than_there_is(two: BackupSite, tmp_path: Path) -> None:
    """Revision, number of keys and hash are counted again, not believed."""
    name = two.record.kept[-1].name
    with _file(two, name).open("rb") as file, decrypted(file, [KEY]) as read:
        unpack(read, tmp_path / "seen", lambda _: 1 << 30)
    state = parse((tmp_path / "seen" / MANIFEST).read_bytes()).etcd.model_copy(update={"hash": 1})
    _repacked(two, name, _nothing, tmp_path, etcd=state)
    assert reason(lambda: try_restore(two, WISH)) == "differs"


def test_a_cluster_that_went_back_is_not_backed_up(two: BackupSite) -> None:
    """Somebody restored etcd from something older: the newest proven backup must not age out behind it."""
    done = two.record.kept[-1]
    ahead = done.model_copy(update={"revision": done.revision + 1000})
    two.record.model_copy(update={"kept": (ahead,)}).save(two.journal, CLUSTER)
    assert reason(lambda: back_up(two)) == "went-back"
    failed = two.journal.since(host=CLUSTER, kind=FAILED)[-1]
    assert failed.data["reason"] == "went-back"


def test_what_was_never_proven_is_not_kept(site: BackupSite, member: Member) -> None:
    """A control plane whose encryption key was replaced: refused, on record, and nothing is in the place."""
    path = member.root / "etc/kubernetes/bmk/encryption.yaml"
    good = path.read_text()
    try:
        text = json.loads(good)
        text["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"] = (
            "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
        )
        path.write_text(json.dumps(text))
        assert reason(lambda: back_up(site)) == "unreadable"
    finally:
        path.write_text(good)
    assert list(_file(site, "").iterdir()) == []
    assert site.record.kept == ()
    assert left_in_memory() == []
