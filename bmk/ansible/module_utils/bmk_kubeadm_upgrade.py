# Copyright bmk contributors. Apache-2.0
"""kubeadm upgrade, exactly once per host and version, whatever was interrupted before.

The first control plane of a cluster is upgraded by `apply`, which also moves the cluster's own configuration to the new
version; all other hosts by `node`, which follows it.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from typing import Any

from ansible.module_utils.bmk_batch import Failed, command
from ansible.module_utils.bmk_facts import kubeadm_state
from ansible.module_utils.bmk_kubeadm_once import ADMIN, alone, refuse, remember, run, with_config

KUBECTL, KUBEADM = "/usr/local/bin/kubectl", "/usr/local/bin/kubeadm"
VERSION = re.compile(r'"?kubernetesVersion"?: "?(v1\.[0-9]+\.[0-9]+)"?')
# kubeadm copies all of etcd beside each manifest that it replaces; bmk has a backup that was proven.
COPIES = "/etc/kubernetes/tmp/kubeadm-*"


def upgrade(params: dict[str, Any], check: bool) -> tuple[bool, str]:
    """(changed, last lines of kubeadm). Raises Failed with the cause and the next command."""
    with alone():
        state, version = kubeadm_state(), params["version"]
        refuse(state, params["cluster"])
        if state["state"] != "joined":
            raise Failed("kubeadm is not done here. Next: `bmk provision DC`")
        if state.get("version") == version:
            return False, ""
        if check:
            return True, ""
        action = _action(state, params)
        remember(dict(state, applying=version if action == "apply" else ""))
        said = with_config(params["config"], lambda path: run("upgrade", _words(action, path), params["environment"]))
        for copy in glob.glob(COPIES):
            shutil.rmtree(copy, ignore_errors=True)
        remember(dict(state, applying="", version=version))
        return True, str(said)


def _words(action: str, path: str) -> list[str]:
    return [action, "--config", path] + (["--yes"] if action == "apply" else [])


def _action(state: dict[str, Any], params: dict[str, Any]) -> str:
    """`apply` where the cluster has another version still, or where an `apply` was interrupted.

    What bmk sets for the new version goes into the cluster's configuration before, under the old version: so kubeadm
    writes manifests that stay, and the API server of this host begins once.
    """
    if not os.path.exists(ADMIN):
        return "node"
    has, version = cluster_version(), "v" + params["version"]
    if has == version:
        return "apply" if state.get("applying") == params["version"] else "node"
    settings = VERSION.sub('"kubernetesVersion": "%s"' % has, params["settings"])
    with_config(settings, lambda path: _upload(path, params["environment"]))
    return "apply"


def _upload(path: str, environment: dict[str, str]) -> None:
    command(KUBEADM, "init", "phase", "upload-config", "kubeadm", "--config", path, env=environment)


def cluster_version() -> str:
    """The version in the configuration that kubeadm keeps in the cluster, such as v1.36.3."""
    kept = command(
        *(KUBECTL, "--kubeconfig", ADMIN, "--request-timeout", "60s", "--namespace", "kube-system"),
        *("get", "configmap", "kubeadm-config", "--output", "jsonpath={.data.ClusterConfiguration}"),
    )
    found = VERSION.findall(kept)
    if len(found) != 1:
        raise Failed(
            "kubeadm's configuration in the cluster names no version. Next: look at it with "
            "kubectl get configmap -n kube-system kubeadm-config"
        )
    return str(found[0])
