"""Becomes PID 1 of a system container. Run as a script, standard library only, in two steps:

    python -I container_init.py enter SPEC      joins the container's cgroups, makes its namespaces (unshare), and runs
    python -I container_init.py boot SPEC       inside them: waits for a line on stdin while its cables are plugged in,
                                                builds the root, and becomes systemd

SPEC is a JSON file: see `container.py`. Nothing it mounts is seen by any other namespace, so nothing is left when
systemd dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 20
MNT_DETACH = 2
SAFE_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


_OWN_SYSCTLS = ("kernel/hostname", "kernel/domainname", "kernel/random/uuid", "kernel/ns_last_pid")


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError with the target in it."""
    if _libc.mount(source.encode(), str(target).encode(), kind.encode() or None, flags, options.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or 'bind'}: {os.strerror(number)}", str(target))


def bind(source: Path, target: Path) -> None:
    """Bind a file or directory over another, making the target when it is missing."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.touch()
    mount(str(source), target, flags=MS_BIND)


def enter(spec_path: str) -> None:
    spec = json.loads(Path(spec_path).read_text())
    for group in spec["cgroups"]:
        (Path(group) / "cgroup.procs").write_text("0")
    namespaces = [
        "--mount",
        "--pid",
        "--fork",
        "--uts",
        "--ipc",
        "--cgroup",
        "--net",
        "--kill-child",
        "--propagation",
        "private",
    ]
    os.execvp("unshare", ["unshare", *namespaces, sys.executable, "-I", __file__, "boot", spec_path])  # noqa: S606 - becomes it


def boot(spec_path: str) -> None:
    spec = json.loads(Path(spec_path).read_text())
    print("ready", flush=True)  # noqa: T201 - the supervisor plugs the cables in when it reads this
    sys.stdin.readline()
    root = Path(spec["root"])
    mount_root(root, spec)
    mount_kernel(root, spec)
    mount_dev(root / "dev", Path(spec["console"]))
    _libc.sethostname(spec["name"].encode(), len(spec["name"]))
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    _libc.umount2(b".", MNT_DETACH)
    os.chdir("/")
    mount("", Path("/"), flags=MS_SHARED | MS_REC)
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    for descriptor in (0, 1, 2):
        os.dup2(console, descriptor)
    os.closerange(3, 256)
    os.setsid() if os.getsid(0) != os.getpid() else None
    os.execve(spec["init"][0], spec["init"], spec["environment"])  # noqa: S606 - becomes it


def mount_root(root: Path, spec: dict[str, Any]) -> None:
    """The image's root below, the machine's own disk above; directories that may not lie on an overlay are bound."""
    layers = f"lowerdir={spec['lower']},upperdir={spec['upper']},workdir={spec['work']}"
    mount("overlay", root, "overlay", options=layers)
    for inside, outside in spec["binds"].items():
        bind(Path(outside), root / inside)


def mount_kernel(root: Path, spec: dict[str, Any]) -> None:
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    shadow_sysctls(root / "proc/sys", Path(spec["sysctls"]))
    mount("sysfs", root / "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount_cgroups(root / "sys/fs/cgroup", spec)
    mount("sysfs", root / "sys", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for directory in ("run", "tmp"):
        mount(
            "tmpfs", root / directory, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755" if directory == "run" else "mode=1777"
        )
    skip_units(root / "run", spec["skip_units"])
    show_whole(root / "run/bmk-kernel")


def show_whole(place: Path) -> None:
    """A user namespace may mount proc and sysfs only while another one is visible that nothing is mounted over."""
    place.mkdir(mode=0o700)
    for kind, flags in (("proc", 0), ("sysfs", MS_RDONLY)):
        (place / kind).mkdir()
        mount(kind, place / kind, kind, flags | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def skip_units(run: Path, units: list[str]) -> None:
    """Units of the node image that need a kernel of their own are skipped, as systemd's own are in a container."""
    for unit in units:
        directory = run / f"systemd/system/{unit}.d"
        directory.mkdir(parents=True)
        (directory / "container.conf").write_text("[Unit]\nConditionVirtualization=!container\n")


def shadow_sysctls(sys_dir: Path, copies: Path) -> None:
    """Replace settings of the whole machine by copies: kubelet and sysctl of the container write these, not the host's.

    The boot id is new, as after a real boot. `net` and a few others are the container's own in the kernel already.
    """
    copies.mkdir(exist_ok=True)
    mount("tmpfs", copies, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for area in ("kernel", "vm", "fs"):
        for directory, _, files in os.walk(sys_dir / area):
            target = copies / Path(directory).relative_to(sys_dir)
            target.mkdir(parents=True, exist_ok=True)
            for name in files:
                _copy_sysctl(Path(directory) / name, target / name)
    (copies / "kernel/random/boot_id").write_text((sys_dir / "kernel/random/uuid").read_text())
    for own in _OWN_SYSCTLS:
        bind(sys_dir / own, copies / own)
    for area in ("kernel", "vm", "fs"):
        mount(str(copies / area), sys_dir / area, flags=MS_BIND | MS_REC)


def _copy_sysctl(source: Path, target: Path) -> None:
    try:
        target.write_bytes(source.read_bytes())
    except OSError:  # some can only be written, some need a capability: they become an empty file
        target.touch()


def mount_cgroups(directory: Path, spec: dict[str, Any]) -> None:
    if spec["cgroup_version"] == 2:
        mount("cgroup2", directory, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        return
    mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755")
    for controllers in spec["hierarchies"]:
        name = controllers.removeprefix("name=")
        (directory / name).mkdir()
        options = f"none,{controllers}" if controllers.startswith("name=") else controllers
        mount("cgroup", directory / name, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
    only_known_controllers(Path(spec["root"]) / "proc/cgroups", Path(spec["sysctls"]), spec["hierarchies"])


def only_known_controllers(listing: Path, copies: Path, known: list[str]) -> None:
    """systemd mounts every v1 controller in /proc/cgroups; one that nobody uses yet would be the whole host's."""
    head, *rows = listing.read_text().splitlines()
    names = {name for controllers in known for name in controllers.split(",")}
    (copies / "cgroups").write_text("\n".join([head, *(row for row in rows if row.split()[0] in names)]) + "\n")
    mount(str(copies / "cgroups"), listing, flags=MS_BIND)


def mount_dev(dev: Path, console: Path) -> None:
    """A /dev of its own: the host's terminals and disks are not there."""
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755")
    for name in SAFE_DEVICES:
        bind(Path("/dev", name), dev / name)
    bind(
        Path("/dev/null"), dev / "kmsg"
    )  # the kubelet wants one; the real one is the host's log, and every container's
    for name in ("net/tun", "fuse"):
        if Path("/dev", name).exists():
            (dev / name).parent.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):
                bind(Path("/dev", name), dev / name)
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,gid=5,mode=620,ptmxmode=0666")
    mount("tmpfs", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("mqueue", dev / "mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    links = {
        "ptmx": "pts/ptmx",
        "fd": "/proc/self/fd",
        "stdin": "fd/0",
        "stdout": "fd/1",
        "stderr": "fd/2",
        "core": "/proc/kcore",
    }
    for name, target in links.items():
        (dev / name).symlink_to(target)
    bind(console, dev / "console")


if __name__ == "__main__":
    {"enter": enter, "boot": boot}[sys.argv[1]](sys.argv[2])
