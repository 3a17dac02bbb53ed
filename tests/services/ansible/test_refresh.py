"""What kubeadm wrote is put right by kubeadm itself: the real program, on directories of a namespace of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.cluster.kubeadm import Node, init_documents

pytestmark = pytest.mark.services
FACTS = {"cgroup": 2, "container": False, "sys_resource": True, "nft_queue": True}
VARIABLES: dict[str, Any] = {
    "bmk_host": {"name": "cp-1", "role": "control_plane", "address": "10.20.0.11", "labels": {}},
    "bmk_images": {"kube-apiserver": "10.20.0.1:5000/kube-apiserver:v1.37.2"},
    "bmk_cluster": {
        "name": "apps",
        "kubernetes": {"version": "1.37.2"},
        "endpoint": {"host": "10.20.0.11", "port": 6443},
        "vip": None,
        "control_plane": [{"name": "cp-1", "address": "10.20.0.11"}],
        "network": {"plugin": "routed", "pods": "10.128.0.0/16", "services": "10.96.0.0/16", "node_prefix": 24},
        "hardening": {
            "groups": {"default": "warn", "namespaces": {}, "exempt": ["kube-system"]},
            "pod_security": {"enforce": "restricted", "exempt": ["kube-system"]},
        },
    },
}


def test_hands_on_what_kubeadm_wrote_are_put_right(tmp_path: Path) -> None:
    """An edited manifest, modes of a key and of a file, root's hand in etcd's data: named in check mode, put right
    once, nothing else touched. systemd makes the same of what kubeadm has just made.
    """
    kubeadm = load_mirror().file("kubeadm").local
    kubeadm.chmod(0o755)
    config, scratch = tmp_path / "init.yml", tmp_path / "scratch"
    scratch.mkdir()
    documents = init_documents(Node.of(VARIABLES, FACTS))
    config.write_text("".join(f"---\n{json.dumps(d)}\n" for d in documents))
    script = [sys.executable, str(Path(__file__).with_name("refresh.py")), str(scratch), str(kubeadm), str(config)]
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", *script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    manifests = {f"/etc/kubernetes/manifests/{n}.yaml" for n in ("etcd", "kube-apiserver", "kube-scheduler")}
    assert manifests <= set(said["first"])
    assert said["second"] == said["third"] == []
    manager = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
    wrong = sorted([manager, "/etc/kubernetes/pki/ca.key", "/var/lib/etcd", "/var/lib/kubelet/config.yaml"])
    assert said["check"] == said["repaired"] == wrong
    assert said["effects"] == [[manager]], "a mode needs no restart"
    assert (said["profiling"], said["mode"]) == (True, "0o600")
    assert said["record"] > 15
    assert said["by systemd"] == []
