"""The key of secrets at rest: whatever happens to its file, no new key is ever put over secrets that are there."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from ansible.module_utils import bmk_key
from ansible.module_utils.bmk_batch import Failed

A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file is in this test."""
    monkeypatch.setattr(bmk_key, "ENCRYPTION", str(tmp_path / "encryption.yaml"))
    return tmp_path / "encryption.yaml"


def test_secrets_are_written_with_a_cipher_and_read_without_one() -> None:
    """secretbox first; identity only reads what was there before; two keys make two files."""
    one, other = (json.loads(bmk_key.encryption(key)) for key in (A, B))
    providers = one["resources"][0]["providers"]
    assert [next(iter(p)) for p in providers] == ["secretbox", "identity"]
    assert providers != other["resources"][0]["providers"]


def test_the_first_control_plane_makes_a_key_and_keeps_it(path: Path) -> None:
    """An init that is repeated after a kill has the key of its first try; who joins has that of its ticket."""
    bmk_key.first_key("", "init")
    made = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    bmk_key.first_key("", "init")
    assert path.read_text() == made
    bmk_key.first_key(bmk_key.encryption(A), "join")
    assert path.read_text() == bmk_key.encryption(A)


def test_a_join_without_a_key_makes_none(path: Path) -> None:
    """Only an init, where etcd is empty, may make one."""
    bmk_key.first_key("", "join")
    assert not path.exists()


@pytest.mark.parametrize("left", [None, "", "{}", "not json", '{"resources": [{"providers": [{"identity": {}}]}]}'])
def test_a_lost_key_comes_back_from_another_control_plane_or_not_at_all(path: Path, left: str | None) -> None:
    """Gone or damaged: restored from one that has it; else the refusal says what is lost and what to do now."""
    if left is not None:
        path.write_text(left)
    with pytest.raises(Failed, match=r"no other control plane has it.*makes no new one.*backup"):
        bmk_key.keep_key("", check=False)
    assert (path.read_text() if path.exists() else None) == left
    assert bmk_key.keep_key(bmk_key.encryption(A), check=True) == [str(path)]
    assert bmk_key.keep_key(bmk_key.encryption(A), check=False) == [str(path)]
    assert path.read_text() == bmk_key.encryption(A)


def test_a_key_that_is_there_wins(path: Path) -> None:
    """Another control plane's key never replaces one that can be read."""
    path.write_text(bmk_key.encryption(A))
    assert bmk_key.keep_key(bmk_key.encryption(B), check=False) == []
    assert path.read_text() == bmk_key.encryption(A)


def test_an_order_that_encrypts_nothing_is_put_right_with_the_same_key(path: Path) -> None:
    """Identity first: somebody turned encryption off; the keys stay, newest first, the order comes back."""
    keys = [{"name": n, "secret": base64.b64encode(k).decode()} for n, k in (("key2", B), ("key1", A))]
    body = json.loads(bmk_key.configuration(keys))
    body["resources"][0]["providers"].reverse()
    path.write_text(json.dumps(body))
    assert bmk_key.keep_key("", check=False) == [str(path)]
    assert path.read_text() == bmk_key.configuration(keys)
