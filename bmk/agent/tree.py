"""What a mounted file system of an old disk means. Whoever was on that machine chose every name and file in it.

No link is followed, because it would lead into the ramdisk; nothing is opened that could wait or act, only directories
and regular files; and no more is read than is needed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bmk.agent.model import DiskContent

_ETCD = ("var/lib/etcd/member", "etcd/member", "member/wal")
_KUBELET = ("var/lib/kubelet/pods", "var/lib/kubelet/pki", "kubelet/pods", "pods", "plugins_registry")
_CEPH = ("var/lib/ceph/osd", "var/lib/ceph/mon")
_USUAL_ON_ESP = frozenset(("EFI", "loader", "System Volume Information"))
_MANY = 100  # names of the top directory
_SHOWN = 63  # characters of a name


def describe_tree(path: str, kind: str, root: Path, *, ours: bool) -> DiskContent:
    """What the file system of `path` means, mounted at `root`. `ours`: the root that bmk writes."""
    for places, what in ((_ETCD, "etcd data"), (_KUBELET, "a kubelet directory"), (_CEPH, "Ceph data")):
        if any(_holds(root, place) for place in places):
            return DiskContent(path, f"{kind} file system with {what}{_of_host(root)}", foreign=True)
    if ours:
        return DiskContent(path, f"bmk node{_of_host(root)} without Kubernetes data", foreign=False)
    names = _names(root) - {"lost+found"}
    if kind == "vfat" and names <= _USUAL_ON_ESP:
        return DiskContent(path, "EFI system partition", foreign=False)
    if not names:
        return DiskContent(path, f"empty {kind} file system", foreign=False)
    shown = ", ".join(_plain(name) for name in sorted(names)[:4])
    return DiskContent(path, f"{kind} file system with {shown}{_of_host(root)}", foreign=True)


def _holds(root: Path, place: str) -> bool:
    """Whether a directory has anything in it. Behind a link may be data: then it counts as there."""
    try:
        with _opened(root, place) as directory, os.scandir(directory) as entries:
            return next(entries, None) is not None
    except OSError as error:
        return error.errno == errno.ELOOP


def _names(root: Path) -> set[str]:
    with os.scandir(root) as entries:
        return {entry.name for entry in islice(entries, _MANY)}


def _of_host(root: Path) -> str:
    try:
        with _opened(root, "etc/hostname") as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return ""
            return f" of host {_plain(os.read(file, 4 * _SHOWN).decode(errors='replace').strip())}"
    except OSError:
        return ""


def _plain(name: str) -> str:
    return re.sub(r"[^\w. +-]", "?", name)[:_SHOWN]


@contextmanager
def _opened(root: Path, place: str) -> Iterator[int]:
    """A descriptor of a place below `root`. OSError when it is not there, and ELOOP when a link is on the way."""
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in Path(place).parts:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=at)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)
