"""What etcd says of a snapshot, and the hash at its end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bmk.backup.manifest import EtcdState
from bmk.backup.proof import compare
from bmk.backup.snapshot import check_hash, state
from bmk.errors import BackupRefused

PAGES = bytes(range(256)) * 16
ABOUT = {
    "status": json.dumps([
        {"Endpoint": "https://127.0.0.1:2379",
         "Status": {"header": {"cluster_id": 2**63 + 5, "member_id": 10, "revision": 99}, "version": "3.7.0",
                    "dbSize": 20480}},
    ]),
    "snapshot": json.dumps({"hash": 1, "revision": 90, "totalKey": 120, "totalSize": 20480, "version": "3.7.0"}),
    "hash": json.dumps([{"Endpoint": "x", "HashKV": {"header": {}, "hash": 4242, "compact_revision": 7}}]),
    "count": '"ClusterID" : 5\n"Revision" : 99\n"More" : false\n"Count" : 55\n',
}  # fmt: skip
STATE = EtcdState(
    cluster_id="8000000000000005", member_id="a", version="3.7.0", revision=90, compacted=7, keys=55, hash=4242
)


def test_the_member_says_what_it_had() -> None:
    """Revision of the snapshot, not of the member, which goes on; ids as etcdctl prints them."""
    assert state(json.dumps(ABOUT).encode()) == STATE


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "[]"},
        {"status": "not json"},
        {"snapshot": '{"revision": -5}'},
        {"snapshot": "{}"},
        {"hash": "[]"},
        {"count": '"Count" : many'},
        {"count": "1" * 70_000},
        {"status": ABOUT["status"].replace("3.7.0", "\\u001b[2J")},
    ],
)
def test_an_answer_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    """Whatever a control plane says, it is a refusal and no traceback."""
    with pytest.raises(BackupRefused) as refusal:
        state(json.dumps({**ABOUT, **wrong}).encode())
    assert refusal.value.reason == "strange"


def _snapshot(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        check_hash(path)
    except BackupRefused as error:
        return error.reason
    return "good"


def test_the_hash_at_the_end_counts(tmp_path: Path) -> None:
    """A whole one is good; without hash, cut or changed it is named so."""
    good, path = PAGES + hashlib.sha256(PAGES).digest(), tmp_path / "snapshot.db"
    assert _snapshot(path, good) == "good"
    assert _snapshot(path, PAGES) == "hashless"
    assert _snapshot(path, good[:-1]) == "hashless"
    assert _snapshot(path, good[:32]) == "hashless"
    assert _snapshot(path, b"") == "hashless"
    assert _snapshot(path, good[512:]) == "snapshot-damaged"
    assert _snapshot(path, b"x" + good[1:]) == "snapshot-damaged"
    assert _snapshot(path, good[:-1] + b"x") == "snapshot-damaged"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revision": 89}, "differs"),
        ({"keys": 54}, "differs"),
        ({"hash": 1}, "differs"),
        ({"hash": 1, "compacted": 8}, "moved"),
    ],
)
def test_each_thing_that_differs_is_named(change: dict[str, int], reason: str) -> None:
    """Another hash means something only when both were compacted at the same revision."""
    compare(STATE, STATE)
    with pytest.raises(BackupRefused) as refusal:
        compare(STATE, STATE.model_copy(update=change))
    assert refusal.value.reason == reason
