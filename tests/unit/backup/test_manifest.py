"""The manifest of a backup: what it says comes back, and what is no manifest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bmk.backup.manifest import (
    FILES,
    JOURNAL,
    OPTIONAL,
    REQUIRED,
    SNAPSHOT,
    BackupManifest,
    EtcdState,
    ManifestFile,
    parse,
)
from bmk.errors import BackupRefused

STATE = EtcdState(cluster_id="a", member_id="b", version="3.7.0", revision=9, compacted=-1, keys=5, hash=1)
NAMES = (SNAPSHOT, JOURNAL, *(f"files{path}" for path in REQUIRED))
GOOD = BackupManifest(
    schema=1, datacenter="par", cluster="apps", name="par.apps.1.age", at=1.0, kubernetes="1.37.0", source="0" * 64,
    etcd=STATE, files=tuple(ManifestFile(name=name, size=1, sha256="1" * 64) for name in NAMES),
)  # fmt: skip


def test_it_comes_back() -> None:
    """As text and again; files that only some control planes have may be there."""
    assert parse(GOOD.text().encode()) == GOOD
    more = GOOD.model_copy(
        update={"files": (*GOOD.files, ManifestFile(name=f"files{OPTIONAL[0]}", size=1, sha256="1" * 64))}
    )
    assert parse(more.text().encode()) == more
    assert len(FILES) == len(REQUIRED) + len(OPTIONAL)


def _without(name: str) -> dict[str, Any]:
    return {"files": [f for f in json.loads(GOOD.text())["files"] if f["name"] != name]}


def _with(name: str) -> dict[str, Any]:
    return {"files": [*json.loads(GOOD.text())["files"], {"name": name, "size": 1, "sha256": "1" * 64}]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "strange"),
        ({"cluster": "../x"}, "strange"),
        ({"name": "a\nb"}, "strange"),
        ({"more": 1}, "strange"),
        ({"etcd": None}, "strange"),
        (_with("files/etc/shadow"), "strange"),
        (_with("files/../../x"), "strange"),
        (_with(SNAPSHOT), "strange"),
        (_without(SNAPSHOT), "incomplete"),
        (_without("files/etc/kubernetes/pki/ca.key"), "incomplete"),
        (_without("files/etc/kubernetes/bmk/encryption.yaml"), "incomplete"),
    ],
)
def test_another_one_is_refused(change: dict[str, Any], reason: str) -> None:
    """Of another version, with names that lead elsewhere, twice the same, or without what a control plane needs."""
    with pytest.raises(BackupRefused) as refusal:
        parse(json.dumps({**json.loads(GOOD.text()), **change}).encode())
    assert refusal.value.reason == reason


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"{" * 100_000])
def test_no_manifest_is_refused(text: bytes) -> None:
    """Whatever it is instead."""
    with pytest.raises(BackupRefused):
        parse(text)
