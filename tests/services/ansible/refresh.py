"""Runs in a mount namespace of its own: refresh.py KUBEADM CONFIG. What kubeadm wrote is broken by hand and put right.

Prints one JSON object: what was put right at each step. No daemon runs here, so nothing is restarted, only noted.
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
from ansible.module_utils import bmk_kubeadm_files as files  # noqa: E402

ETC, LIB = Path("/etc/kubernetes"), Path("/var/lib")


def own_directories(scratch: Path) -> None:
    """/etc and /var/lib are this namespace's own from here on."""
    for place in ("/etc", "/var/lib"):
        upper, work = scratch / place.strip("/") / "upper", scratch / place.strip("/") / "work"
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)


def prepare(kubeadm: str, config: str) -> None:
    """A host as it is after kubeadm: keys, kubeconfigs and the directories of the roles."""
    for path in (ETC / "manifests", ETC / "patches", LIB / "kubelet", LIB / "bmk/sections", LIB / "etcd"):
        path.mkdir(parents=True, exist_ok=True)
    for phase in (("certs", "all"), ("kubeconfig", "all")):
        subprocess.run([kubeadm, "init", "phase", *phase, "--config", config], check=True, capture_output=True)


def main() -> None:
    scratch, kubeadm, config = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(scratch)], check=True)
    own_directories(scratch)
    prepare(kubeadm, config)
    effects: list[list[str]] = []
    files.KUBEADM = kubeadm

    def take_effect(changed: list[str], _began: float) -> list[str]:
        effects.append([path for path in changed if not path.endswith("apiserver.yaml")])
        return []

    files.take_effect = take_effect
    files.API = ""  # nobody answers here, so nothing can be uploaded

    def step() -> list[str]:
        return sorted(files.refresh(config, {}, False))

    said: dict[str, Any] = {"first": step(), "second": step()}
    manager = ETC / "manifests/kube-controller-manager.yaml"
    manager.write_text(manager.read_text().replace("--profiling=false", "--profiling=true"))
    (ETC / "pki/ca.key").chmod(0o644)
    (LIB / "kubelet/config.yaml").chmod(0o644)
    effects.clear()
    said["check"] = sorted(files.refresh(config, {}, True))
    said["repaired"] = step()
    said["effects"] = list(effects)
    said["profiling"] = "--profiling=false" in manager.read_text()
    said["mode"] = oct((ETC / "pki/ca.key").stat().st_mode & 0o777)
    said["third"] = step()
    said["record"] = len(json.loads((LIB / "bmk/sections/kubeadm.files.json").read_text())["items"])
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
