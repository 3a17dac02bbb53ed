"""Keys of a backup that belong together, and those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.backup.manifest import AUTHORITIES, TOKENS
from bmk.backup.pairs import check_pairs
from bmk.errors import BackupRefused
from tests.cluster_keys import make_pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pairs")
    make_pairs(found)
    return found


def test_pairs_of_kubeadm_are_pairs(root: Path) -> None:
    """Authorities by their certificates, tokens by their public key."""
    check_pairs(root)


@pytest.mark.parametrize("path", [key for _, key in AUTHORITIES] + [TOKENS[0]])
def test_a_key_of_another_pair_is_named(root: Path, path: str) -> None:
    """With the path of the file, and nothing of what is in it."""
    other = next(key for key in (AUTHORITIES[0][1], TOKENS[1], AUTHORITIES[1][1]) if key != path)
    kept = (root / path.lstrip("/")).read_bytes()
    for content in ((root / other.lstrip("/")).read_bytes(), b"no key", b""):
        (root / path.lstrip("/")).write_bytes(content)
        with pytest.raises(BackupRefused) as refusal:
            check_pairs(root)
        assert refusal.value.reason == "keys"
        assert path in refusal.value.why
    (root / path.lstrip("/")).write_bytes(kept)
    check_pairs(root)
