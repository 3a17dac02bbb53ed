"""The file with the key of secrets at rest: what bmk writes passes, what would make an API server act does not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bmk.backup.encryption import inline_keys
from bmk.backup.manifest import ENCRYPTION
from bmk.errors import BackupRefused

SECRET = base64.b64encode(bytes(range(32))).decode()
KEYS = {"keys": [{"name": "key1", "secret": SECRET}]}


def _file(*providers: Any, **more: Any) -> dict[str, Any]:
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    return {**kind, "resources": [{"resources": ["secrets"], "providers": list(providers)}], **more}


def _read(tmp_path: Path, text: str) -> str:
    path = tmp_path / ENCRYPTION.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return inline_keys(tmp_path)


@pytest.mark.parametrize("provider", ["secretbox", "aesgcm", "aescbc"])
def test_keys_in_the_file_pass(tmp_path: Path, provider: str) -> None:
    """As they are, with what reads secrets that were never encrypted."""
    wanted = _file({provider: KEYS}, {"identity": {}})
    assert json.loads(_read(tmp_path, json.dumps(wanted, indent=1))) == wanted


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(_file({"kms": {"apiVersion": "v2", "name": "x", "endpoint": "unix:///run/docker.sock"}})),
        json.dumps(_file({"secretbox": KEYS, "kms": {"name": "x", "endpoint": "unix:///run/x"}})),
        json.dumps(_file({"secretbox": {**KEYS, "path": "/etc/shadow"}})),
        json.dumps(_file({"secretbox": {"keys": [{"name": "key1", "secret": "short"}]}})),
        json.dumps(_file({"secretbox": {"keys": [{"name": "a\nb", "secret": SECRET}]}})),
        json.dumps(_file({"secretbox": KEYS}, more=1)),
        json.dumps(_file({"secretbox": KEYS}, kind="List")),
        json.dumps(_file({"secretbox": 1})),
        json.dumps(_file()),
        "kind: EncryptionConfiguration",
        "[" * 100_000,
        "",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    """A KMS and its socket, other keys, odd types, YAML, nothing; and no key is in what is told."""
    with pytest.raises(BackupRefused) as refusal:
        _read(tmp_path, text)
    assert refusal.value.reason == "encryption"
    assert SECRET not in str(refusal.value)
