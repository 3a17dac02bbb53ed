# Copyright bmk contributors. Apache-2.0
"""kubeadm's files on a host, kept as kubeadm would write them now: static pods, the kubelet's configuration, modes.

kubeadm renders into a directory of its own (a dry run); files on the host that differ are replaced, and the daemons
that read them are restarted: so a hand-edited manifest and a setting that is new in bmk are the same case. What was
rendered is recorded like any other list, so `bmk_probe` can tell later whether it still holds.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from ansible.module_utils.bmk_addons import reapply
from ansible.module_utils.bmk_batch import Failed, Item, command, digest, note, write_atomically
from ansible.module_utils.bmk_etcd import GRACE, addresses, healthy, may_stop
from ansible.module_utils.bmk_files import Files

KUBEADM = "/usr/local/bin/kubeadm"
MANIFESTS = "/etc/kubernetes/manifests"
API, ETCD = MANIFESTS + "/kube-apiserver.yaml", MANIFESTS + "/etcd.yaml"
OWNERS = "/etc/tmpfiles.d/bmk-kubernetes.conf"  # whose the files are that kubeadm makes; see bmk/hardening/accounts.py
KUBELET = ("config.yaml", "instance-config.yaml", "kubeadm-flags.env")
# What the two daemons read at their start, and never again.
READ_ONCE = {
    "kubelet": tuple("/var/lib/kubelet/" + name for name in KUBELET),
    "kube-apiserver": tuple(
        "/etc/kubernetes/bmk/" + name for name in ("admission.yaml", "audit-policy.yaml", "encryption.yaml")
    ),
}
PHASES = {
    "worker": (("kubelet-start",),),
    "control_plane": (("kubelet-start",), ("control-plane", "all"), ("etcd", "local")),
}
OF_ITS_JOIN = "    - --initial-cluster"  # etcd: who was there when this member came; read once, never again
SECTION = "kubeadm"
PENDING = "/run/bmk-kubeadm-pending.json"  # changed and not yet seen in effect; a reboot pays it
PATIENCE = 480  # seconds for an API server to come back


def refresh(config: str, environment: dict[str, str], check: bool) -> list[str]:
    """Paths that were (in check mode: would be) replaced. `config` is the path of kubeadm's init configuration.

    Daemons that started before a file that they read changed are named like paths, and restarted.
    """
    kind, items = Files(), wanted(config, environment)
    actual = {item["path"]: kind.actual(item) for item in items}
    desired = {item["path"]: kind.desired(item) for item in items}
    differing = [item for item in items if actual[item["path"]] != desired[item["path"]]]
    paths = [item["path"] for item in differing]
    if check:
        return paths + stale() + addons(config, environment, check)
    changed = [p for p in paths if actual[p].get("sha256") != desired[p].get("sha256")]  # modes need no restart
    if ETCD in changed:
        may_stop()
    if API in changed:
        _not_the_last()
    pending = pending_changes(changed)
    kind.apply(differing, actual)
    note(kind, SECTION, digest(sorted(desired.items())), items, desired)
    old = take_effect(pending, [item for item in items if item.get("tree")])
    if API in pending:
        command(KUBEADM, "init", "phase", "upload-config", "all", "--config", config, env=environment)
    if pending:
        os.unlink(PENDING)
    return paths + old + addons(config, environment, check)


def pending_changes(changed: list[str]) -> dict[str, float]:
    """When each file changed that has yet to take effect: of this run, and of one that was killed before it saw it."""
    try:
        with open(PENDING) as file:
            before = {path: at for path, at in json.load(file).items() if at <= time.time()}  # the clock may go back
    except (OSError, ValueError, AttributeError, TypeError):
        before = {}
    pending = dict(before, **dict.fromkeys(changed, time.time()))
    if changed:
        write_atomically(PENDING, json.dumps(pending).encode(), 0o600)
    return pending


def _not_the_last() -> None:
    """Raises Failed when this API server is the only one of several that answers: what broke them may break it too."""
    here = _flag(_text(API), "--advertise-address") if os.path.exists(API) else ""
    others = [address for address in addresses() if address != here]
    end = time.time() + GRACE
    while others and _ready(here) and not any(map(_ready, others)):
        if time.time() >= end:
            raise Failed(
                "the API server of this host stays as it is: it is the only one that answers, those of %s do not. "
                "Next: mend one of them first; the same command goes on" % ", ".join(others)
            )
        time.sleep(1)


def addons(config: str, environment: dict[str, str], check: bool) -> list[str]:
    """Names of kubeadm's addons that are not as patched, on a control plane; put right unless only to be told."""
    return reapply(config, environment, check) if os.path.exists(API) else []


def wanted(config: str, environment: dict[str, str]) -> list[Item]:
    """Items of bmk_files: what kubeadm renders, and what else it made, of which only owner and mode matter."""
    role = "control_plane" if os.path.exists("/etc/kubernetes/admin.conf") else "worker"
    directory = tempfile.mkdtemp(dir="/run", prefix="bmk-kubeadm-")
    try:
        for phase in PHASES[role]:
            asked = [KUBEADM, "init", "phase", *phase, "--dry-run", "--config", config]
            command(*asked, env=dict(environment, KUBEADM_INIT_DRYRUN_DIR=directory))
        rendered = {name: _text(os.path.join(directory, name)) for name in sorted(os.listdir(directory))}
    finally:
        shutil.rmtree(directory)
    files = [(place(name), text) for name, text in rendered.items() if place(name)]
    return [{"path": path, "mode": "0600", "content": as_joined(path, text)} for path, text in files] + _kept()


def place(name: str) -> str:
    """Where a rendered file belongs; "" when nowhere."""
    if name in KUBELET:
        return os.path.join("/var/lib/kubelet", name)
    return os.path.join(MANIFESTS, name) if name.startswith(("kube-", "etcd")) and name.endswith(".yaml") else ""


def as_joined(path: str, text: str) -> str:
    """A manifest of etcd with the peers that this member was told when it joined."""
    if not path.endswith("/etcd.yaml") or not os.path.exists(path):
        return text
    old = [line for line in _text(path).splitlines() if line.startswith(OF_ITS_JOIN)]
    lines = []
    for line in text.splitlines():
        if line.startswith(OF_ITS_JOIN):
            lines += old
            old = []
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _kept() -> list[Item]:
    """What kubeadm made and bmk does not write: owners and modes, from the file that systemd reads."""
    found: dict[str, Item] = {}
    for kind, path, mode, owner, group in map(str.split, filter(_is_entry, _text(OWNERS).splitlines())):
        if kind == "Z":
            found[path]["tree"] = True
            continue
        state = "directory" if kind == "d" or os.path.isdir(path) else "kept"
        found[path] = {"path": path, "state": state, "mode": mode, "owner": owner, "group": group}
    return [item for item in found.values() if item["state"] == "kept" or os.path.isdir(item["path"])]


def _is_entry(line: str) -> bool:
    return bool(line) and not line.startswith("#")


def take_effect(pending: dict[str, float], trees: list[Item]) -> list[str]:
    """Wait for static pods whose manifests changed, and restart daemons that started before their files. Returns those.

    `trees` are handed to their owners until all is up: a program that ran as another user may have made a file in its
    last moment.
    """
    address = _flag(_text(API), "--advertise-address") if os.path.exists(API) else ""
    if ETCD in pending:
        _wait_for("etcd", healthy, pending[ETCD], trees)
    if API in pending:
        _wait_for("kube-apiserver", lambda: _ready(address), pending[API], trees)
    old = stale()
    if "kubelet" in old:
        command("systemctl", "restart", "kubelet.service")
    if "kube-apiserver" in old:
        again = time.time()
        for pid in started("kube-apiserver"):
            os.kill(pid, signal.SIGTERM)  # the kubelet starts its container again
        _wait_for("kube-apiserver", lambda: _ready(address), again, trees)
    return old


def stale() -> list[str]:
    """Daemons that began before what they read at their start was last changed."""
    return [
        name
        for name, paths in READ_ONCE.items()
        if any(at < max(map(_changed, paths)) for at in started(name).values())
    ]


def _changed(path: str) -> float:
    """0 when it is not there, or is from the future because the clock was set back since."""
    at = os.stat(path).st_mtime if os.path.exists(path) else 0.0
    return at if at <= time.time() else 0.0


def _wait_for(name: str, well: Callable[[], bool], began: float, trees: list[Item]) -> None:
    end = time.time() + PATIENCE
    while not (any(at >= began - 1 for at in started(name).values()) and well()):
        if time.time() >= end:
            raise Failed(
                "%s of this host did not come back in %d s with its new manifest. Next: "
                "crictl or /var/log/pods on the host; the same command tries again" % (name, PATIENCE)
            )
        Files().apply(trees, {})
        time.sleep(0.5)


def started(name: str) -> dict[int, float]:
    """When each process of this name began, by its pid."""
    found = {}
    with open("/proc/uptime") as file:
        boot = time.time() - float(file.read().split()[0])
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                called = os.path.basename(file.read().split(b"\0", 1)[0].decode(errors="replace"))
            with open(os.path.join(os.path.dirname(path), "stat")) as stat:
                ticks = int(stat.read().rpartition(")")[2].split()[19])
        except OSError:
            continue
        if called == name:
            found[int(path.split("/")[2])] = boot + ticks / os.sysconf("SC_CLK_TCK")
    return found


def _ready(address: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open("https://%s:6443/readyz" % address, timeout=5) as answer:
            return bool(answer.read(2) == b"ok")
    except (OSError, urllib.error.URLError):
        return False


def _flag(manifest: str, name: str) -> str:
    found = [line.split("=", 1)[1] for line in manifest.splitlines() if line.strip().startswith("- %s=" % name)]
    return found[0] if found else "127.0.0.1"


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


def result(paths: list[str]) -> dict[str, Any]:
    """As batch modules answer: what changed, by path."""
    diff = [
        {"before_header": p, "after_header": p, "before": "other\n", "after": "as kubeadm writes it\n"} for p in paths
    ]
    return {"changed": bool(paths), "items": [{"id": p, "changed": True} for p in paths], "diff": diff}
