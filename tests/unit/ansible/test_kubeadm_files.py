"""What kubeadm wrote, put right: where a rendered file goes, what of a member stays, which modes count."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import bmk_kubeadm_files
from ansible.module_utils.bmk_files import Files


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("config.yaml", "/var/lib/kubelet/config.yaml"),
        ("kube-apiserver.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml"),
        ("etcd.yaml", "/etc/kubernetes/manifests/etcd.yaml"),
        ("admin.conf", ""),
        ("kube-notes.txt", ""),
    ],
)
def test_rendered_files_have_one_place(name: str, path: str) -> None:
    """Manifests and the kubelet's files; whatever else kubeadm renders is not taken over."""
    assert bmk_kubeadm_files.place(name) == path


def test_a_member_of_etcd_keeps_its_peers(tmp_path: Path) -> None:
    """kubeadm renders a first member; one that joined keeps what it was told then, and gets everything else."""
    manifest = tmp_path / "etcd.yaml"
    manifest.write_text(
        "    - etcd\n    - --initial-cluster=a=1,b=2\n    - --initial-cluster-state=existing\n    - --auto-tls=true\n"
    )
    rendered = "    - etcd\n    - --initial-cluster=a=1\n    - --client-cert-auth=true\n"
    kept = bmk_kubeadm_files.as_joined(str(manifest), rendered)
    assert kept.splitlines() == [
        "    - etcd",
        "    - --initial-cluster=a=1,b=2",
        "    - --initial-cluster-state=existing",
        "    - --client-cert-auth=true",
    ]


def test_of_a_kept_file_only_owner_and_mode_count(tmp_path: Path) -> None:
    """A key that somebody else writes: another content is fine, another mode is not, and no file at all is fine."""
    path = tmp_path / "ca.key"
    item: dict[str, Any] = {"path": str(path), "state": "kept", "mode": "0600"}
    kind = Files()
    assert kind.actual(item) == kind.desired(item)
    path.write_text("a")
    path.chmod(0o644)
    assert kind.actual(item) != kind.desired(item)
    kind.apply([item], {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    record = kind.record(item, kind.desired(item))
    path.write_text("other")
    assert kind.actual(record) == record["desired"]


def test_what_a_killed_run_changed_is_waited_for_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between a manifest and its restart: the next run finds the file right, and still waits, from then on."""
    monkeypatch.setattr(bmk_kubeadm_files, "PENDING", str(tmp_path / "pending.json"))
    assert bmk_kubeadm_files.pending_changes([]) == {}
    assert not (tmp_path / "pending.json").exists()
    first = bmk_kubeadm_files.pending_changes(["etcd.yaml"])
    assert bmk_kubeadm_files.pending_changes([]) == first
    more = bmk_kubeadm_files.pending_changes(["kube-apiserver.yaml"])
    assert more["etcd.yaml"] == first["etcd.yaml"] <= more["kube-apiserver.yaml"]
    (tmp_path / "pending.json").write_text("{half")
    assert bmk_kubeadm_files.pending_changes([]) == {}, "a file that cannot be read holds nobody up"
