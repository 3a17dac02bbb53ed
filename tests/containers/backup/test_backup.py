"""Backups of lab-ha: taken from real control planes over ssh, with the certificates of etcd, proven, tried again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, own_file, running, wants_backups

pytestmark = pytest.mark.containers
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
SECRET = "a-word-that-no-file-may-hold"
KILLS = 5


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """lab-ha that wants backups for one private key, which lies where only the test looks."""
    place = tmp_path_factory.mktemp("backup")
    file = own_file(place)
    wants_backups(file, place)
    with running("lab-ha", str(file), place, own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        yield lab


def kept(lab: Lab) -> list[Path]:
    return sorted((lab.state / "kept").iterdir())


def dry_run(lab: Lab, *more: str, code: int = 0) -> str:
    return lab.bmk("restore", "lab-ha", "--dry-run", "--identity", str(lab.state / "par.key"), *more, code=code)


def test_what_was_written_is_in_the_next_backup(lab: Lab) -> None:
    """One command takes a proven backup; the private key proves it again from end to end; nothing is in clear."""
    lab.on("cp-1", f"{KUBECTL} create secret generic proof --from-literal=word={SECRET}")
    lab.bmk("backup")
    assert len(kept(lab)) == 1
    dry_run(lab)
    assert "proven" in lab.bmk("why", "lab-ha")
    lab.bmk("plan")
    machines = lab.state / lab.name / "lab"
    files = [path for path in lab.state.rglob("*") if path.is_file() and machines not in path.parents]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_an_altered_one_is_refused(lab: Lab) -> None:
    """A flipped bit of the file that is kept: refused by name, with exit code 6."""
    path = kept(lab)[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    dry_run(lab, code=6)
    path.write_bytes(whole)
    dry_run(lab)


def test_killed_at_random_the_same_command_takes_one(lab: Lab) -> None:
    """kill -9: what is kept is proven, whatever is left over is swept, and the hosts keep nothing of it."""
    chance = random.Random(1)
    before = len(kept(lab))
    lab.killed(chance, (1, 12), KILLS, "backup")
    proven = json.loads(lab.bmk("backup", "--list", "-o", "json"))
    assert len(kept(lab)) > before
    assert all(path.name in json.dumps(proven) for path in kept(lab))
    assert not list(Path("/dev/shm").glob("bmk-backup-*"))
    for host in ("cp-1", "cp-2", "cp-3"):
        assert lab.on(host, "ls /var/lib/bmk/backup 2>/dev/null || true").split() in ([], ["lock"])
