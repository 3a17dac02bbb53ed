"""kubeadm upgrade on one host: once, whatever was interrupted.

kubeadm and kubectl are programs that write down how they were called.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import bmk_facts, bmk_kubeadm_once, bmk_kubeadm_upgrade
from ansible.module_utils.bmk_batch import Failed

KUBEADM = """#!/bin/sh
echo "kubeadm $*" | sed 's# /[^ ]*yaml# FILE#' >> "$CALLS"
for last; do :; done
case "$*" in
*upload-config*) grep -o 'kubernetesVersion": "[^"]*' "$last" >> "$CALLS"; exit ;;
*apply*) echo "kubernetesVersion: v1.37.2" > "$CLUSTER" ;;
esac
if [ -e "$CALLS.fail" ]; then echo "error: no space left"; exit 1; fi
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A joined control plane of a cluster with 1.36.3."""
    cluster, marker = tmp_path / "cluster", tmp_path / "kubeadm.json"
    for name, text in (("kubeadm", KUBEADM), ("kubectl", f"#!/bin/sh\ncat {cluster}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "admin.conf").touch()
    (tmp_path / "tmp").mkdir()
    cluster.write_text("apiVersion: kubeadm.k8s.io/v1beta4\nkubernetesVersion: v1.36.3\n")
    marker.write_text(json.dumps({"state": "joined", "action": "init", "cluster": "apps", "at": 1}))
    for module in (bmk_kubeadm_once, bmk_kubeadm_upgrade):
        monkeypatch.setattr(module, "KUBEADM", str(tmp_path / "kubeadm"))
        monkeypatch.setattr(module, "ADMIN", str(tmp_path / "admin.conf"))
    for name, path in (("LOCK", "lock"), ("CONFIG", "config-"), ("LOGS", "logs")):
        monkeypatch.setattr(bmk_kubeadm_once, name, str(tmp_path / path))
    monkeypatch.setattr(bmk_kubeadm_upgrade, "KUBECTL", str(tmp_path / "kubectl"))
    monkeypatch.setattr(bmk_kubeadm_upgrade, "COPIES", str(tmp_path / "tmp" / "kubeadm-*"))
    for module in (bmk_facts, bmk_kubeadm_once):
        monkeypatch.setattr(module, "MARKER", str(marker))
    return tmp_path


def upgrade(host: Path, *, check: bool = False, cluster: str = "apps") -> bool:
    environment = {"CALLS": str(host / "calls"), "CLUSTER": str(host / "cluster")}
    settings = json.dumps({"kubernetesVersion": "v1.37.2"})
    wish = {"version": "1.37.2", "cluster": cluster, "config": "{}", "settings": settings, "environment": environment}
    return bool(bmk_kubeadm_upgrade.upgrade(wish, check)[0])


def calls(host: Path) -> list[str]:
    return (host / "calls").read_text().splitlines() if (host / "calls").exists() else []


APPLY = "kubeadm upgrade apply --config FILE --yes"
UPLOAD = ["kubeadm init phase upload-config kubeadm --config FILE", 'kubernetesVersion": "v1.36.3']


def test_the_first_control_plane_moves_the_cluster_once(host: Path) -> None:
    """New settings under the old version first, then `apply`; a second run calls nothing. Copies of etcd are gone."""
    (host / "tmp" / "kubeadm-backup-etcd-1").mkdir()
    assert upgrade(host)
    assert calls(host) == [*UPLOAD, APPLY]
    assert not upgrade(host)
    assert calls(host) == [*UPLOAD, APPLY]
    assert list((host / "tmp").iterdir()) == []


def test_others_follow(host: Path) -> None:
    """A control plane whose cluster has the version, and a worker, which has no administrator's kubeconfig."""
    (host / "cluster").write_text("kubernetesVersion: v1.37.2\n")
    assert upgrade(host)
    assert calls(host) == ["kubeadm upgrade node --config FILE"]
    (host / "kubeadm.json").write_text(json.dumps({"state": "joined", "cluster": "apps", "version": "1.36.3"}))
    (host / "admin.conf").unlink()
    (host / "cluster").unlink()
    assert upgrade(host)
    assert calls(host) == ["kubeadm upgrade node --config FILE"] * 2


def test_an_apply_that_was_interrupted_is_one_again(host: Path) -> None:
    """kubeadm had moved the cluster's configuration and died: what comes after that in `apply` was not done."""
    (host / "calls.fail").touch()
    with pytest.raises(Failed, match="ended with 1"):
        upgrade(host)
    (host / "calls.fail").unlink()
    (host / "calls").unlink()
    assert upgrade(host)
    assert calls(host) == [APPLY]
    assert json.loads((host / "kubeadm.json").read_text())["version"] == "1.37.2"


def test_check_mode_says_what_it_would_do(host: Path) -> None:
    """And calls nothing."""
    assert upgrade(host, check=True)
    assert calls(host) == []


def test_a_host_of_another_cluster_is_refused(host: Path) -> None:
    """And so is one that is no member yet."""
    with pytest.raises(Failed, match="in cluster apps, not other"):
        upgrade(host, cluster="other")
    (host / "kubeadm.json").write_text(json.dumps({"state": "unfinished", "cluster": "apps"}))
    with pytest.raises(Failed, match="not done here"):
        upgrade(host)
    assert calls(host) == []
