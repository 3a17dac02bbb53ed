# Copyright bmk contributors. Apache-2.0
"""Runs on a node, sent over ssh: one look at everything that the controls ask about, as one line of JSON.

Standard library only, Python 3.8 or newer. Changes nothing; keys and other secrets stay where they are.
"""

from __future__ import annotations

import errno
import glob
import grp
import json
import os
import pwd
import socket
import subprocess
import sys
from typing import Any

PROCESSES = (
    "containerd", "kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kube-proxy",
)  # fmt: skip
FILES = (
    "/etc/kubernetes/*.conf", "/etc/kubernetes/manifests", "/etc/kubernetes/manifests/*", "/etc/kubernetes/bmk",
    "/etc/kubernetes/bmk/*", "/etc/kubernetes/pki", "/etc/kubernetes/pki/*", "/etc/kubernetes/pki/etcd/*",
    "/var/lib/kubelet", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/var/lib/etcd",
    "/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d/*",
    "/etc/systemd/system/containerd.service", "/etc/systemd/system/containerd.service.d/*", "/etc/containerd",
    "/etc/containerd/*.toml", "/etc/containerd/*.json", "/etc/containerd/certs.d/*/hosts.toml",
    "/etc/containerd/image-verifier",
    "/etc/containerd/image-verifier/*", "/etc/cni/net.d", "/etc/cni/net.d/*", "/opt/cni/bin", "/var/lib/containerd",
    "/run/containerd", "/run/containerd/containerd.sock", "/run/containerd/containerd.sock.ttrpc", "/run/nri/nri.sock",
    "/usr/local/bin/*", "/var/log/kubernetes/audit", "/var/log/kubernetes/audit/*.log",
)  # fmt: skip
TEXTS = (
    "/var/lib/kubelet/config.yaml", "/etc/containerd/base-spec.json", "/etc/kubernetes/bmk/admission.yaml",
    "/etc/kubernetes/bmk/audit-policy.yaml", "/etc/kubernetes/bmk/authentication.yaml", "/etc/containerd/config.toml",
    "/etc/containerd/certs.d/_default/hosts.toml",
)  # fmt: skip
SOCKETS = ("/run/containerd/containerd.sock", "/run/containerd/containerd.sock.ttrpc")
SSHD = (
    "permitrootlogin", "passwordauthentication", "kbdinteractiveauthentication", "permitemptypasswords",
    "x11forwarding", "allowagentforwarding", "permituserenvironment", "maxauthtries", "hostbasedauthentication",
)  # fmt: skip
IDS = (("uids", "Uid"), ("gids", "Gid"), ("groups", "Groups"))
CAPABILITIES = (("effective", "CapEff"), ("bounding", "CapBnd"))
ENCRYPTION = "/etc/kubernetes/bmk/encryption.yaml"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def look(asked: dict[str, Any]) -> None:
    known = processes()
    seen = {
        "facts": facts(),
        "files": files(),
        "texts": {path: read(path) for path in TEXTS},
        "containerd": said("containerd", "config", "dump"),
        "processes": known,
        "listeners": listeners(known),
        "sockets": sockets(),
        "encryption": encryption(),
        "sshd": sshd(),
        "sysctls": {name: " ".join(read("/proc/sys/" + name.replace(".", "/")).split()) for name in asked["sysctls"]},
    }
    sys.stdout.write("@bmk@" + json.dumps(seen) + "\n")


def read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def said(*argv: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            argv, capture_output=True, timeout=30, check=False, stdin=subprocess.DEVNULL, env=ENVIRONMENT
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"code": -1, "out": "", "err": str(error)}
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return {"code": done.returncode, "out": out, "err": err[-500:]}


def line_of(path: str, start: str) -> str:
    return next(line for line in read(path).splitlines() if line.startswith(start))


def files() -> dict[str, Any]:
    found = {}
    for path in (path for pattern in FILES for path in glob.glob(pattern)):
        try:
            info = os.stat(path)
        except OSError:
            continue
        mode = info.st_mode & 0o7777
        found[path] = {"mode": mode, "uid": info.st_uid, "gid": info.st_gid, "mtime": info.st_mtime}
    return found


def processes() -> dict[str, Any]:
    """What runs under the names we know, from /proc: the arguments that are in force, not those of a file."""
    found: dict[str, Any] = {}
    boot, ticks = float(line_of("/proc/stat", "btime").split()[1]), os.sysconf("SC_CLK_TCK")
    for entry in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        argv = read("/proc/%s/cmdline" % entry).rstrip("\0").split("\0")
        name = os.path.basename(argv[0])
        if name in PROCESSES and name not in found:
            fields = read("/proc/%s/stat" % entry).rpartition(")")[2].split()
            if len(fields) > 19:
                known = {"pid": int(entry), "args": argv[1:], "started": boot + int(fields[19]) / ticks}
                found[name] = dict(known, **identity(entry))
    return found


def identity(entry: str) -> dict[str, Any]:
    """All user and group numbers of a process; the capabilities that it has and may ever get, as masks."""
    status = dict(line.split(":", 1) for line in read("/proc/%s/status" % entry).splitlines() if ":" in line)
    numbers = {key: [int(n) for n in status.get(line, "").split()] for key, line in IDS}
    return dict(numbers, capabilities={key: int(status.get(line, "0"), 16) for key, line in CAPABILITIES})


def listeners(known: dict[str, Any]) -> dict[str, list[str]]:
    """TCP listeners of the processes: name -> ["address:port"]."""
    addresses, found = listening(), {}
    for name, process in known.items():
        found[name] = sorted({addresses[inode] for inode in inodes(process["pid"]) if inode in addresses})
    return found


def listening() -> dict[str, str]:
    """Listening TCP sockets by inode, of this network namespace."""
    found = {}
    for path, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in read(path).splitlines()[1:]:
            part = line.split()
            if len(part) > 9 and part[3] == "0A":
                address, port = part[1].split(":")
                found[part[9]] = "%s:%d" % (readable(address, family), int(port, 16))
    return found


def readable(address: str, family: int) -> str:
    raw = bytes.fromhex(address)
    return socket.inet_ntop(family, b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4)))


def inodes(pid: int) -> set[str]:
    """Sockets that a process has open."""
    found = set()
    for path in glob.glob("/proc/%d/fd/*" % pid):
        try:
            link = os.readlink(path)
        except OSError:
            continue
        if link.startswith("socket:["):
            found.add(link[8:-1])
    return found


def sockets() -> dict[str, Any]:
    """Who may use the runtime's sockets: group, its members, and what an unprivileged user gets."""
    found: dict[str, Any] = {}
    for path in filter(os.path.exists, SOCKETS):
        gid = os.stat(path).st_gid
        found[path] = {"gid": gid, "group": "", "members": [], "nobody": attempt(path)}
        try:
            group = grp.getgrgid(gid)
        except KeyError:
            continue
        primary = [user.pw_name for user in pwd.getpwall() if user.pw_gid == gid]
        found[path].update(group=group.gr_name, members=sorted(set(group.gr_mem) | set(primary)))
    return found


def attempt(path: str) -> str:
    """What user 65534 gets who connects: a name of errno, or "connected"."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            socket.socket(socket.AF_UNIX).connect(path)
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    code = os.waitpid(child, 0)[1] >> 8
    return "connected" if code == 0 else errno.errorcode.get(code, str(code))


def encryption() -> list[dict[str, Any]] | None:
    """Names of providers in their order, never a key."""
    try:
        config = json.loads(read(ENCRYPTION))
        return [
            {"resources": r["resources"], "providers": [next(iter(p)) for p in r["providers"]]}
            for r in config["resources"]
        ]
    except (ValueError, KeyError, TypeError, StopIteration):
        return None


def sshd() -> dict[str, str]:
    """Settings as sshd would use them for root."""
    shown = said("sshd", "-T", "-C", "user=root,host=x,addr=127.0.0.1")
    pairs = [line.split(None, 1) for line in shown["out"].splitlines() if " " in line]
    return {key.lower(): value for key, value in pairs if key.lower() in SSHD}


def facts() -> dict[str, Any]:
    return {
        "container": "\0container=" in "\0" + read("/proc/1/environ"),
        "cgroup": 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1,
        "kernel": os.uname().release,
        "apparmor": read("/sys/module/apparmor/parameters/enabled").strip() == "Y",
        "selinux": read("/sys/fs/selinux/enforce").strip() == "1",
        "nofile_hard": line_of("/proc/1/limits", "Max open files").split()[4],
    }
