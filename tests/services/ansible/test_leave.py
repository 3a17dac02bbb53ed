"""Kubernetes is taken off a host by the real kubeadm, on directories of a namespace of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.cluster.kubeadm import Node, init_documents
from tests.services.ansible.test_refresh import FACTS, VARIABLES

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[3]


def test_nothing_of_a_member_is_left(tmp_path: Path) -> None:
    """Keys, kubeconfigs, the kubelet's credentials, mounted secrets and etcd's data go; once more changes nothing."""
    kubeadm = load_mirror().file("kubeadm").local
    kubeadm.chmod(0o755)
    config, scratch = tmp_path / "init.yml", tmp_path / "scratch"
    scratch.mkdir()
    documents = init_documents(Node.of(VARIABLES, FACTS))
    config.write_text("".join(f"---\n{json.dumps(d)}\n" for d in documents))
    script = [sys.executable, "-m", "tests.services.ansible.leave", str(scratch), str(kubeadm), str(config)]
    spaces = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--mount-proc"]
    done = subprocess.run([*spaces, *script], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert {"/etc/kubernetes/pki/ca.key", "/etc/kubernetes/admin.conf", "/var/lib/etcd/member/snap/db"} <= set(
        said["before"]
    )
    assert said["first"] == [True, [], {"state": "bare"}]
    assert said["second"] == [False, [], {"state": "bare"}]
