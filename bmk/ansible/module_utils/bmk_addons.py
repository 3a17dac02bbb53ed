# Copyright bmk contributors. Apache-2.0
"""kubeadm's addons, CoreDNS and kube-proxy: kept in the API as the patches of this control plane have them.

A patch is a strategic merge patch, as JSON. kubeadm applies it when it makes the addon; when the object in the API
differs from it (bmk has a new setting, somebody edited it), kubeadm makes the addon once more.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.module_utils.bmk_batch import Failed, command

KUBEADM, KUBECTL = "/usr/local/bin/kubeadm", "/usr/local/bin/kubectl"
ADMIN = "/etc/kubernetes/admin.conf"
PATCHES = "/etc/kubernetes/patches"
ROLLOUT = 180  # seconds for an addon's pods to be replaced: after a repair the controllers restart, too
ADDONS = {  # phase of kubeadm -> what its patches are called, and the object
    "coredns": ("corednsdeployment", "deployment/coredns"),
    "kube-proxy": ("kubeproxydaemonset", "daemonset/kube-proxy"),
}
_KEYS = ("name", "mountPath", "topologyKey")  # what identifies an entry of a list


def reapply(config: str, environment: dict[str, str], check: bool) -> list[str]:
    """Names of addons that differ from their patches; without `check` kubeadm applies them, which replaces pods.

    One that is not there was removed by somebody, and is not made again.
    """
    differing = [name for name in ADDONS if not all(holds(patch, _live(name)) for patch in _patches(name))]
    for name in [] if check else differing:
        command(KUBEADM, "init", "phase", "addon", name, "--config", config, env=environment)
        if not all(holds(patch, _live(name)) for patch in _patches(name)):
            raise Failed("%s: kubeadm made it anew, and it still differs from its patches in %s" % (name, PATCHES))
        # Until the old pods are gone nothing is put right. A node that is silent keeps its pod: no fault of the others.
        rollout = ("-n", "kube-system", "rollout", "status", ADDONS[name][1], "--timeout=%ds" % ROLLOUT)
        command(KUBECTL, "--kubeconfig", ADMIN, *rollout, check=False)
    return differing


def holds(patch: Any, live: Any) -> bool:
    """Whether a patch would change nothing. An object that is not there has nothing to be patched."""
    if live is None:
        return True
    if isinstance(patch, dict):
        return isinstance(live, dict) and all(_holds(key, value, live) for key, value in patch.items())
    if isinstance(patch, list) and all(isinstance(entry, dict) for entry in patch):
        return isinstance(live, list) and all(_among(entry, live) for entry in patch)
    return bool(patch == live)


def _holds(key: str, value: Any, live: dict[str, Any]) -> bool:
    if key not in live:
        return value is False or (isinstance(value, list) and all(e.get("$patch") == "delete" for e in value))
    return holds(value, live[key])


def _among(entry: dict[str, Any], live: list[Any]) -> bool:
    key = next(key for key in _KEYS if key in entry)
    same = [other for other in live if isinstance(other, dict) and other.get(key) == entry[key]]
    return not same if entry.get("$patch") == "delete" else bool(same) and holds(entry, same[0])


def _patches(name: str) -> list[Any]:
    found = []
    for file in sorted(os.listdir(PATCHES) if os.path.isdir(PATCHES) else ()):
        if file.startswith(ADDONS[name][0]):
            with open(os.path.join(PATCHES, file)) as patch:
                found.append(json.load(patch))
    return found


def _live(name: str) -> Any:
    """The object as the API has it; None when it has none, or does not answer."""
    asked = ("-n", "kube-system", "get", ADDONS[name][1], "--ignore-not-found", "-o", "json")
    text = command(KUBECTL, "--kubeconfig", ADMIN, "--request-timeout", "60s", *asked, check=False)
    return json.loads(text) if text.strip() else None
