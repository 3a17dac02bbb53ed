"""Runs in a mount namespace of its own: refresh.py KUBEADM CONFIG. What kubeadm wrote is broken by hand and put right.

Prints one JSON object: what was put right at each step. No daemon runs here, so nothing is restarted, only noted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible.module_utils

import bmk.ansible

ansible.module_utils.__path__.append(str(Path(bmk.ansible.__file__).parent / "module_utils"))
from ansible.module_utils import bmk_kubeadm_files as files  # noqa: E402
from ansible.module_utils.bmk_users import Users  # noqa: E402

from bmk.hardening import accounts  # noqa: E402

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
    users = accounts.users("control_plane")
    Users().apply(users, {user["name"]: {"uid": None} for user in users})
    Path(accounts.CONF).write_text(accounts.tmpfiles("control_plane"))
    for phase in (("certs", "all"), ("kubeconfig", "all")):
        subprocess.run([kubeadm, "init", "phase", *phase, "--config", config], check=True, capture_output=True)


def owners_by_systemd() -> list[str]:
    """What of the table does not hold after kubeadm made everything anew and systemd-tmpfiles ran."""
    for owned in accounts.BY_PATH.values():
        if Path(owned.path).exists():
            os.chown(owned.path, 0, 0)
            Path(owned.path).chmod(0o755 if Path(owned.path).is_dir() else 0o600)
    (LIB / "etcd/member/x").write_text("x")
    os.chown(LIB / "etcd/member/x", 0, 0)
    subprocess.run(["systemd-tmpfiles", "--create", accounts.CONF], check=True)
    there = [(owned, Path(owned.path).stat()) for owned in accounts.BY_PATH.values() if Path(owned.path).exists()]
    there.append((accounts.owned_at("/var/lib/etcd/member/x"), (LIB / "etcd/member/x").stat()))
    return [
        o.path
        for o, info in there
        if (info.st_uid, info.st_gid) != o.ids or (not o.tree and info.st_mode & 0o777 != o.mode)
    ]


def main() -> None:
    scratch, kubeadm, config = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(scratch)], check=True)
    own_directories(scratch)
    prepare(kubeadm, config)
    effects: list[list[str]] = []
    files.KUBEADM, files.PENDING = kubeadm, str(scratch / "pending.json")

    def take_effect(owed: dict[str, float], _trees: list[Any]) -> list[str]:
        effects.append([path for path in owed if not path.endswith("apiserver.yaml")])
        return []

    files.take_effect = take_effect
    files.API = ""  # nobody answers here, so nothing can be uploaded
    files.may_stop = files._not_the_last = lambda: None

    def step() -> list[str]:
        return sorted(files.refresh(config, {}, False))

    said: dict[str, Any] = {"first": step(), "second": step()}
    manager = ETC / "manifests/kube-controller-manager.yaml"
    manager.write_text(manager.read_text().replace("--profiling=false", "--profiling=true"))
    (ETC / "pki/ca.key").chmod(0o644)
    (LIB / "etcd/member").mkdir()  # as root would
    (LIB / "kubelet/config.yaml").chmod(0o644)
    effects.clear()
    said["check"] = sorted(files.refresh(config, {}, True))
    said["repaired"] = step()
    said["effects"] = list(effects)
    said["profiling"] = "--profiling=false" in manager.read_text()
    said["mode"] = oct((ETC / "pki/ca.key").stat().st_mode & 0o777)
    said["third"] = step()
    said["by systemd"] = owners_by_systemd()
    said["record"] = len(json.loads((LIB / "bmk/sections/kubeadm.files.json").read_text())["items"])
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
