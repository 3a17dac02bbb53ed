"""Runs in namespaces of its own: leave.py SCRATCH KUBEADM CONFIG. A host that kubeadm made a member of is one no more.

Prints one JSON object: what was left at each step. No daemon runs here, and none of this machine can be reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible.module_utils

import bmk.ansible

ansible.module_utils.__path__.append(str(Path(bmk.ansible.__file__).parent / "module_utils"))
from ansible.module_utils import bmk_kubeadm_left, bmk_kubeadm_once  # noqa: E402
from ansible.module_utils.bmk_facts import MARKER, kubeadm_state  # noqa: E402

from tests.services.ansible.refresh import ETC, LIB, own_directories, prepare  # noqa: E402

ASKED = {"action": "reset", "cluster": "apps", "environment": {}, "for_good": False}


def left() -> list[str]:
    """Files of Kubernetes that are there; bmk's marker with them."""
    places = [ETC, LIB / "kubelet", LIB / "etcd", LIB / "cni", Path(MARKER).parent]
    return sorted(str(path) for place in places for path in place.rglob("*") if not path.is_dir())


def member(kubeadm: str, config: str) -> None:
    """What is on a control plane besides what kubeadm's first phases make."""
    prepare(kubeadm, config)
    secret = LIB / "kubelet/pods/1"
    for path in (LIB / "etcd/member/snap/db", LIB / "kubelet/pki/kubelet-client-current.pem", secret / "token"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(secret)], check=True)  # as volumes of Secrets are
    Path(MARKER).parent.mkdir(exist_ok=True)
    Path(MARKER).write_text(json.dumps({"state": "joined", "cluster": "apps"}))


def main() -> None:
    scratch, kubeadm, config = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(scratch)], check=True)
    own_directories(scratch)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)  # no systemd and no runtime of this machine
    member(kubeadm, config)
    bmk_kubeadm_once.KUBEADM, bmk_kubeadm_once.LOGS = kubeadm, str(scratch / "logs")
    said: dict[str, Any] = {"before": left()}
    for step in ("first", "second"):
        said[step] = [bmk_kubeadm_left.leave(ASKED, False)[0], left(), kubeadm_state()]
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
