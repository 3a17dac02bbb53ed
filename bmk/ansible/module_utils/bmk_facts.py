# Copyright bmk contributors. Apache-2.0
"""The few facts that roles decide by. Probed, never assumed: a container or an old kernel says so here."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

from ansible.module_utils.bmk_batch import command, in_container
from ansible.module_utils.bmk_key import read
from ansible.module_utils.bmk_key_file import keys_of

CAP_SYS_RESOURCE = 24
MARKER = "/etc/bmk/kubeadm.json"
# Whether the kernel can hand packets to a program, as what enforces NetworkPolicy needs; nothing of it is kept.
_QUEUE = "add table inet bmk; add chain inet bmk c; add rule inet bmk c queue to 98"


def facts() -> dict[str, Any]:
    os_release = _os_release()
    return {
        "os": os_release.get("ID", ""),
        "os_version": os_release.get("VERSION_ID", ""),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "container": in_container(),
        "cgroup": 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1,
        "systemd": os.path.isdir("/run/systemd/system"),
        "sys_resource": bool(_capabilities() >> CAP_SYS_RESOURCE & 1),
        "nofile_hard": _nofile_hard(),
        "swap": _lines("/proc/swaps") > 1,
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "cpus": os.cpu_count() or 1,
        "user_namespaces": _number("/proc/sys/user/max_user_namespaces"),
        "nftables": _works("nft", "list", "tables"),
        "nft_queue": _works("nft", "--check", _QUEUE),
        "interfaces": _interfaces(),
        "kubeadm": kubeadm_state(),
        "encryption": bool(keys_of(read())),
    }


def notes(known: dict[str, Any]) -> list[str]:
    """Limits of the environment that the roles work around, for people to see."""
    said = []
    if known["container"]:
        said.append("container: kernel modules and settings outside net.* belong to the machine around it")
    if known["cgroup"] == 1:
        said.append("cgroup v1: kubelet runs with failCgroupV1=false and the cgroupfs driver; not for production")
    if not known["sys_resource"]:
        said.append("no CAP_SYS_RESOURCE: containers keep the runtime's oom_score_adj (restrict_oom_score_adj)")
    if not known["user_namespaces"]:
        said.append("user namespaces are off: pods with hostUsers: false cannot run here")
    if not known["nft_queue"]:
        said.append(
            "the kernel has no queue of nftables (nft_queue): no NetworkPolicy of the plug-in routed holds here"
        )
    return said


def kubeadm_state() -> dict[str, Any]:
    """What kubeadm did here: {state: bare|joined|unfinished|foreign, ...}. `foreign`: bmk did not make it."""
    try:
        with open(MARKER) as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        pass
    left = [path for path in LEFTOVERS if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path))]
    return {"state": "foreign", "found": left} if left else {"state": "bare"}


LEFTOVERS = (
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/var/lib/etcd/member",
)


def _os_release() -> dict[str, str]:
    try:
        with open("/etc/os-release") as file:
            pairs = [line.rstrip("\n").split("=", 1) for line in file if "=" in line]
    except OSError:
        return {}
    return {key: value.strip("\"'") for key, value in pairs}


def _capabilities() -> int:
    with open("/proc/1/status") as file:
        for line in file:
            if line.startswith("CapBnd:"):
                return int(line.split()[1], 16)
    return 0


def _nofile_hard() -> int:
    with open("/proc/1/limits") as file:
        for line in file:
            if line.startswith("Max open files"):
                return int(line.split()[4].replace("unlimited", "1048576"))
    return 1024


def _lines(path: str) -> int:
    try:
        with open(path) as file:
            return len(file.readlines())
    except OSError:
        return 0


def _number(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _works(*argv: str) -> bool:
    try:
        return bool(command(*argv, "-j")) if argv[0] == "nft" else bool(command(*argv))
    except Exception:
        return False


def _interfaces() -> dict[str, str]:
    """Interface by address."""
    try:
        links = json.loads(command("ip", "-json", "-4", "address", "show", check=False) or "[]")
    except (OSError, ValueError):
        return {}
    return {a["local"]: link["ifname"] for link in links for a in link.get("addr_info", ()) if a.get("local")}
