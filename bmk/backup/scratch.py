"""A private directory in memory for what is plain in a backup, and the programs that prove it; both end with bmk.

The directory is in a tmpfs, so nothing plain reaches a disk of the deployer. It is held by a lock that dies with its
process: what a process that was killed left behind, the next one removes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bmk.errors import BmkError, PreflightRefused

_TMPFS = "tmpfs"
_PREFIX = "bmk-backup-"
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/"}
# A program ends with the bmk that started it, also by kill -9.
_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory in memory, gone afterwards. PreflightRefused where there is no memory file system."""
    parent = _parent()
    sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def sweep(parent: Path) -> None:
    """Remove directories of this user that no living process holds."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(held).st_uid == os.getuid():
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)


def require_room(path: Path, size: int) -> None:
    """PreflightRefused when a snapshot of this size, and what etcd makes of it, do not fit."""
    needed, free = 3 * size + (256 << 20), shutil.disk_usage(path).free
    if free < needed:
        raise PreflightRefused(
            f"{needed >> 20} MiB of memory are needed to prove this backup, {free >> 20} are free",
            where=str(path.parent),
            hint="take backups on a machine with more memory, or make etcd smaller (etcdctl defrag)",
        )


def _parent() -> Path:
    """The first memory file system: the one that systemd made for this unit, this user's, everybody's."""
    shared = "/dev/shm"  # noqa: S108 - a directory of this user alone is made in it
    named = [os.environ.get("RUNTIME_DIRECTORY", ""), os.environ.get("XDG_RUNTIME_DIR", ""), shared]
    there = [Path(one) for one in named if one and os.access(one, os.W_OK) and _kind(Path(one)) == _TMPFS]
    if not there:
        raise PreflightRefused(
            "there is no memory file system for the plain half of a backup",
            why="looked at RUNTIME_DIRECTORY, XDG_RUNTIME_DIR and /dev/shm",
            hint="mount a tmpfs at /dev/shm",
        )
    return there[0]


def _kind(path: Path) -> str:
    """The type of the file system that a path is on, by the longest mount point that it is below."""
    best = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        if f"{path.resolve()}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def run(argv: Sequence[str], where: Path, seconds: float) -> str:
    """What a program prints. BmkError when it fails or takes longer."""
    try:
        done = subprocess.run(
            [*_WITH_US, *argv], cwd=where, env=_ENVIRONMENT, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BmkError(f"{Path(argv[0]).name} did not end in {seconds:.0f} s") from error
    if done.returncode != 0:
        raise BmkError(f"{Path(argv[0]).name} failed", why=_last(done.stderr.decode(errors="replace")))
    return done.stdout.decode(errors="replace")


@contextmanager
def serving(argv: Sequence[str], where: Path, ready: Callable[[], bool], seconds: float) -> Iterator[None]:
    """A program that runs meanwhile, begun when `ready` says so. BmkError when it ends or takes longer."""
    log, name = where / f"{Path(argv[0]).name}.log", Path(argv[0]).name
    with log.open("wb") as out:
        process = subprocess.Popen([*_WITH_US, *argv], cwd=where, env=_ENVIRONMENT, stdout=out, stderr=out)
    try:
        end = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None:
                raise BmkError(f"{name} ended with {process.returncode}", why=_last(log.read_text(errors="replace")))
            if time.monotonic() > end:
                raise BmkError(f"{name} is not ready after {seconds:.0f} s")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def _last(text: str) -> str:
    """The last line that says something of an error, cut before what could be content."""
    lines = [line for line in text.splitlines() if line.startswith(("E", "F", "Error", "panic", '{"level":"f'))]
    return (lines or text.splitlines() or [""])[-1][:200]


Programs = Mapping[str, Path]  # etcd-server, etcdctl, etcdutl and kube-apiserver of the mirror
