"""`bmk backup` and `bmk restore` as far as they ask no machine; what status, why and the page say of backups."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyrage
import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.locate import find_datacenter
from bmk.journal import Journal
from bmk.journal.backup_causes import BEGUN, FAILED
from bmk.journal.records import BackupRecord, ProvenBackup

KEY = pyrage.x25519.Identity.generate()
BACKUP = f"""
  backup:
    recipients: [{KEY.to_public()}]
    target: {{directory: {{path: /srv/backups}}}}
"""
ONE = ProvenBackup(name="lab.lab.1.age", at=1.0, sha256="a" * 64, size=5, revision=90, keys=55, cluster_id="a")


@pytest.fixture
def file(tmp_path: Path, state: Path) -> Path:
    """The lab's file, with backups."""
    source = find_datacenter("lab")
    shutil.copytree(source.parent, tmp_path / "dc")
    path = tmp_path / "dc" / source.name
    text = path.read_text()
    path.write_text(text.replace("\nspec:\n", f"\nspec:{BACKUP}", 1))
    return path


@pytest.fixture
def told(state: Path) -> Journal:
    return Journal.open(state / "lab")


def _cluster(file: Path) -> str:
    return next(iter(load_datacenter(str(file)).spec.clusters))


def test_without_settings_it_says_what_is_missing(cli):
    """Exit code 3, and where the file is described."""
    said = cli("backup", "lab")
    assert said.code == 3
    assert "wants no backups" in said.err
    assert "docs/backup.md" in said.err


def test_list_names_what_is_kept(cli, file, told):
    """From the journal alone, the newest first; nothing is made when there is no journal."""
    BackupRecord(at=2.0, kept=(ONE,)).save(told, _cluster(file))
    said = cli("backup", str(file), "--list", "-o", "json")
    assert said.code == 0, said.err
    assert [row["backup"] for row in json.loads(said.out)] == ["lab.lab.1.age"]
    assert (
        f'bmk_backup_kept{{datacenter="lab",cluster="{_cluster(file)}"}} 1'
        in cli("backup", str(file), "--list", "-o", "prom").out
    )


def test_list_leaves_metrics_where_they_are_collected(cli, file, tmp_path):
    """Also when nothing was ever proven: that is what an alert has to see."""
    assert cli("backup", str(file), "--list", "--write", str(tmp_path / "out")).code == 0
    assert "last_proven_timestamp_seconds" in (tmp_path / "out" / "backup.prom").read_text()


def test_a_cluster_that_is_not_there_is_named(cli, file):
    """With those that are."""
    said = cli("backup", str(file), "nowhere")
    assert said.code == 3
    assert _cluster(file) in said.err


def test_status_says_how_old_backups_are(cli, file, told):
    """And says so in capitals when there is none."""
    assert "NONE was ever proven" in cli("status", str(file)).err
    BackupRecord(at=2.0, kept=(ONE,)).save(told, _cluster(file))
    assert "d old, revision 90; 1 kept" in cli("status", str(file)).err
    assert "backup of" not in cli("status", "lab-ha").err


def test_why_of_a_cluster_tells_of_its_backup(cli, file, teller):
    """Timeline since it began, cause and next command, with the reason's own words."""
    cluster = _cluster(file)
    assert "no backup was ever taken" in cli("why", str(file), cluster).out
    teller.tell(cluster, "bmk", BEGUN, "a backup was begun", phase="backup")
    teller.tell(cluster, "bmk", FAILED, "the backup ends too early", phase="backup", reason="truncated", why="5 of 9")
    said = cli("why", str(file), cluster)
    assert said.code == 0
    assert "failed in backup" in said.out
    assert "why: 5 of 9" in said.out
    assert f"bmk backup {file} {cluster} --list" in said.out


def test_the_page_has_a_line(cli, file, told):
    """For each cluster that the file wants backups of: one without a proven backup is bad."""
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', cli("report", str(file)).out, re.S)
    assert data is not None
    (row,) = json.loads(data[1])["upkeep"]["backups"]
    assert (row["cluster"], row["state"], row["age"]) == (_cluster(file), "failed", "never")


def test_restore_needs_a_private_key_that_is_private(cli, file, tmp_path):
    """Nothing is fetched before."""
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    key.chmod(0o644)
    said = cli("restore", str(file), _cluster(file), "--dry-run", "--identity", str(key))
    assert said.code == 3
    assert "others can read" in said.err
    assert str(KEY) not in said.err
    assert cli("restore", str(file), _cluster(file), "--identity", str(key)).code == 64
