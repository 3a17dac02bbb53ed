"""A control plane as older versions of bmk left it: static pods are root, and so are the owners of all their files."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.lab import Lab

# In this order: root in a static pod reads whatever there is, a user of its own reads no file of root's.
_MANIFESTS_OF_ROOT = r"""python3 - <<'END'
import pathlib, re
own = r"    (runAsGroup|runAsNonRoot|runAsUser|supplementalGroupsPolicy): .*\n"
limits = r"    securityContext:\n      allowPriv.*\n      capabilities:\n(        .*\n)+      readOnlyRoot.*\n"
for path in pathlib.Path("/etc/kubernetes/manifests").glob("*.yaml"):
    text = path.read_text()
    path.write_text(re.sub(own, "", re.sub(limits, "", text)))
    assert path.read_text() != text, path
END"""
_FILES_OF_ROOT = r"""python3 - <<'END'
import os, pathlib
for line in open("/etc/tmpfiles.d/bmk-kubernetes.conf"):
    kind, path = (line.split() + ["", ""])[:2]
    if kind in ("z", "d") and os.path.exists(path):
        os.chown(path, 0, 0)
        os.chmod(path, 0o700 if os.path.isdir(path) else 0o644 if path.endswith(".crt") else 0o600)
    if kind == "Z":
        for below in pathlib.Path(path).rglob("*"):
            os.chown(below, 0, 0)
END"""
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_USERS = f"for n in {' '.join(PROGRAMS)}; do stat -c %u /proc/$(pidof -s $n) 2>/dev/null || echo none; done"
_ADDRESS = "sed -n 's/.*--advertise-address=//p' /etc/kubernetes/manifests/kube-apiserver.yaml"
_READY = f"curl -sk --max-time 5 https://$({_ADDRESS}):6443/readyz; true"
OWN = ["953", "954", "955", "956"]


def users(lab: Lab, host: str) -> list[str]:
    """User numbers of the four static pods as they run."""
    return lab.on(host, _USERS).split()


def as_before(lab: Lab, host: str) -> None:
    """This control plane as an older bmk left it, and up."""
    lab.on(host, _MANIFESTS_OF_ROOT)
    until(lambda: users(lab, host) == ["0"] * 4, f"{host} runs as root")
    lab.on(host, _FILES_OF_ROOT)
    until(lambda: lab.on(host, _READY) == "ok", f"{host} is ready")


def end_programs(lab: Lab, host: str) -> None:
    """kill -9 of what a killed bmk left running there."""
    lab.on(host, "for p in $(pgrep -f '^/usr/bin/python3 -I -B -$'); do kill -9 $p; done; true")


def until(true: Callable[[], object], what: str, seconds: float = 300) -> None:
    """Poll a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.5)
