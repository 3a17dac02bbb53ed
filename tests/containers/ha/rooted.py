"""A control plane as older versions of bmk left it: static pods are root, and so are the owners of all their files."""

from __future__ import annotations

# In this order: root in a static pod reads whatever there is, a user of its own reads no file of root's.
MANIFESTS_OF_ROOT = r"""python3 - <<'END'
import pathlib, re
own = r"    (runAsGroup|runAsNonRoot|runAsUser|supplementalGroupsPolicy): .*\n"
limits = r"    securityContext:\n      allowPriv.*\n      capabilities:\n(        .*\n)+      readOnlyRoot.*\n"
for path in pathlib.Path("/etc/kubernetes/manifests").glob("*.yaml"):
    text = path.read_text()
    path.write_text(re.sub(own, "", re.sub(limits, "", text)))
    assert path.read_text() != text, path
END"""
FILES_OF_ROOT = r"""python3 - <<'END'
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
USERS = f"for n in {' '.join(PROGRAMS)}; do stat -c %u /proc/$(pidof -s $n) 2>/dev/null || echo none; done"
READY = "curl -sk --max-time 5 https://127.0.0.1:6443/readyz"
