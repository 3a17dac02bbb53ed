"""The programs that bmk starts on its own machine, what for, and the Debian packages that they come in.

An ordinary user of Debian has no sbin directory in PATH, and most servers lie there: those are looked in, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from bmk.errors import PreflightRefused

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# What for -> program (or file that one reads) -> Debian package, each one of scripts/packages.txt or in every Debian.
PROGRAMS: Mapping[str, Mapping[str, str]] = {
    "hosts": {"ssh": "openssh-client", "ssh-keygen": "openssh-client"},
    "ipmi": {"ipmitool": "ipmitool"},
    "artifacts": {
        "gcc": "build-essential", "mcopy": "mtools", "mkfs.vfat": "dosfstools", "mmd": "mtools",
        "mmdebstrap": "mmdebstrap", "setpriv": "util-linux", "sfdisk": "fdisk", "zstd": "zstd",
    },
    "box": {
        "dd": "coreutils", "qemu-img": "qemu-utils", "sgdisk": "gdisk", "ssh-keygen": "openssh-client", "zstd": "zstd",
    },
    "backups": {"setpriv": "util-linux"},
    "boot server": {
        "docker-registry": "docker-registry", "dnsmasq": "dnsmasq-base", "nginx": "nginx-light",
        "/usr/lib/ipxe/snponly.efi": "ipxe", "/usr/lib/ipxe/undionly.kpxe": "ipxe",
    },
    "lab": {"ip": "iproute2", "mount": "mount", "nsenter": "util-linux", "umount": "mount", "unshare": "util-linux"},
    "lab: vm": {"qemu-system-x86_64": "qemu-system-x86"},
    "lab: tpm": {"swtpm": "swtpm"},
    "lab: ipmi": {"gcc": "build-essential", "ipmi_sim": "openipmi", "setpriv": "util-linux"},
    "lab: container": {"pivot_root": "util-linux", "rm": "coreutils", "tar": "tar", "zstd": "zstd"},
    "lab: simulated": {"chroot": "coreutils", "sshd": "openssh-server"},
    "lab: vagrant": {
        "libvirtd": "libvirt-daemon", "qemu-img": "qemu-utils", "qemu-system-x86_64": "qemu-system-x86",
        "vagrant": "vagrant", "virsh": "libvirt-clients", "virtlogd": "libvirt-daemon",
    },
}  # fmt: skip
_PACKAGES = {program: package for programs in PROGRAMS.values() for program, package in programs.items()}


def look_in_sbin() -> None:
    """Let this process, and all that it starts, find what an ordinary user's PATH leaves out. Once, when it begins."""
    os.environ["PATH"] = _search_path()


def find(name: str) -> str | None:
    """The path of a program, or of a file that has one already; None: it is not here.

    Beside this Python first: scripts/setup puts Go there when Debian's is too old.
    """
    import shutil  # noqa: PLC0415 - `bmk --help` looks for nothing and starts without it

    if name.startswith("/"):
        return name if Path(name).exists() else None
    return shutil.which(name, path=f"{sys.prefix}/bin") or shutil.which(name, path=_search_path())


def require(names: Iterable[str]) -> None:
    """Raises PreflightRefused that names each program that is not here, and the packages to install."""
    missing = sorted({name for name in names if find(name) is None})
    if not missing:
        return
    packages = " ".join(sorted({_PACKAGES[name] for name in missing if name in _PACKAGES}))
    raise PreflightRefused(
        f"not installed: {', '.join(missing)}",
        why=f"looked in {_search_path()}",
        hint="scripts/setup" + (f", or as root: apt-get install {packages}" if packages else ""),
    )


def _search_path() -> str:
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*path, *(directory for directory in _SBIN if directory not in path)])
