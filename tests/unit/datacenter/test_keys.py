"""The key that control planes share: made once, private, and in no inventory."""

from __future__ import annotations

import json
from pathlib import Path

from bmk.datacenter.credentials import vip_key_file, vip_keys
from bmk.datacenter.inventory import ansible_inventory
from bmk.datacenter.load import load_datacenter


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Asked again it is the same; when it is gone another is made, and its mark says so."""
    dc = load_datacenter("lab-ha")
    first = vip_keys(dc, tmp_path)
    file = vip_key_file(tmp_path, "lab-ha")
    assert vip_keys(dc, tmp_path) == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert len(file.read_text()) == 8
    file.unlink()
    assert vip_keys(dc, tmp_path) != first


def test_the_inventory_names_the_file_and_never_the_key(tmp_path: Path, monkeypatch) -> None:
    """What is printed and written down for Ansible has the place of the key and a mark of it."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path))
    dc = load_datacenter("lab-ha")
    keys = vip_keys(dc, tmp_path / "lab-ha")
    made = ansible_inventory(dc, {"vip_keys": keys}, {})
    assert made["cluster_lab_ha"]["vars"]["bmk_cluster"]["vip_key"] == keys["lab-ha"]
    file = Path(made["cluster_lab_ha"]["vars"]["bmk_vip_key_file"])
    assert file.read_text() not in json.dumps(made)


def test_a_cluster_without_a_vip_has_no_key(tmp_path: Path) -> None:
    """Where nobody signs there is nothing to keep."""
    assert vip_keys(load_datacenter("lab"), tmp_path) == {}
    assert not list(tmp_path.iterdir())
