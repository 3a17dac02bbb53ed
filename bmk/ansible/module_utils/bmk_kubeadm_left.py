# Copyright bmk contributors. Apache-2.0
"""Kubernetes off a host: what runs ends, credentials and the data of etcd go. Whatever was interrupted before."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ansible.module_utils.bmk_applied import APPLIED
from ansible.module_utils.bmk_batch import RECORDS, Failed, command
from ansible.module_utils.bmk_facts import MARKER, kubeadm_state
from ansible.module_utils.bmk_kubeadm_once import SOCKET, alone, mark, refuse, run
from ansible.module_utils.bmk_sections import MANIFEST

# Their contents go, the directories stay: some are mounts. Addresses belong to pods that are gone, and a backup that
# somebody killed leaves a snapshot.
EMPTIED = ("/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/var/lib/cni", "/var/lib/bmk/backup")
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller", "kube-scheduler")  # as /proc/PID/comm has them
UNITS = ("kubelet.service", "keepalived.service", "haproxy.service")


def leave(params: dict[str, Any], check: bool) -> tuple[bool, str]:
    """(changed, last lines of kubeadm). `for_good`: what would serve again after a boot does not start any more.

    Raises Failed with the cause and the next command.
    """
    with alone():
        state = kubeadm_state()
        refuse(state, params["cluster"])
        if check or state["state"] == "bare":
            return state["state"] != "bare", ""
        mark("unfinished", params)  # killed in the middle, nothing takes it for a member
        if params["for_good"]:
            for unit in UNITS:
                command("systemctl", "disable", "--now", unit, check=False)
        # a member of etcd is taken out by the others, or none of them goes on
        flags = ["--force", "--cri-socket", SOCKET, "--skip-phases", "remove-etcd-member"]
        said = run("reset", flags, params["environment"])
        _nothing_runs()
        for directory in EMPTIED:
            _empty(directory)
        # what was set, and what the cluster was given; the marker last: until then the same command goes on
        for path in (MANIFEST, RECORDS, APPLIED, MARKER):
            _remove(path)
        return True, said


def _nothing_runs() -> None:
    """Data under a running etcd is not taken away: it would write on."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as file:
                name = file.read().strip()
        except OSError:
            continue
        found += [name] if name in CONTROL_PLANE else []
    if found:
        raise Failed("still running: %s. Next: the same command tries again" % ", ".join(sorted(set(found))))


def _empty(directory: str) -> None:
    names = os.listdir(directory) if os.path.isdir(directory) else []
    for name in names:
        _remove(os.path.join(directory, name))


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
    except OSError as error:
        what = "%s cannot be removed: %s" % (error.filename or path, error.strerror)
        raise Failed("%s. Next: the same command tries again" % what) from error
