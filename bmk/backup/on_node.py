# Copyright bmk contributors. Apache-2.0
"""Runs on a control plane, sent over ssh: a snapshot of its etcd member and files of the cluster, as one tar.

Standard library only, Python 3.8 or newer. The snapshot lies beside etcd's own data, for root alone, until it was sent;
a leftover of a run that was killed is removed by the next. Nothing else is changed.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from typing import Any

BUSY, REFUSED, FAILED = 9, 10, 11  # exit codes: another one is at it; it would not fit or something lacks; etcd
SNAPSHOT = "etcd/snapshot.db"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class NoBackup(Exception):
    """What went wrong, and the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def take(asked: dict[str, Any]) -> int:
    """Exit code. `asked`: see bmk/backup/collect.py."""
    signal.signal(signal.SIGALRM, late)
    signal.alarm(int(asked["seconds"]))
    os.makedirs(asked["work"], mode=0o700, exist_ok=True)
    os.chmod(asked["work"], 0o700)
    with open(os.path.join(asked["work"], "lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return say(BUSY, "another backup is being taken on this host")
        try:
            send(asked)
        except NoBackup as refused:
            return say(refused.code, str(refused))
        finally:
            sweep(asked["work"])
    return 0


def send(asked: dict[str, Any]) -> None:
    sweep(asked["work"])
    status = etcdctl(asked, "endpoint", "status")
    enough_room(asked, json.loads(status)[0]["Status"]["dbSize"])
    path = os.path.join(asked["work"], "snapshot.db")
    etcdctl(asked, "snapshot", "save", path)
    found = run([asked["etcdutl"], "snapshot", "status", path, "--write-out", "json"])
    revision = str(json.loads(found)["revision"])
    about = {
        "status": status,
        "snapshot": found,
        "hash": etcdctl(asked, "endpoint", "hashkv", "--rev", revision),
        "count": etcdctl(asked, "get", "", "--prefix", "--count-only", "--rev", revision, shape="fields"),
    }
    names = files(asked)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        put(tar, "about.json", io.BytesIO(json.dumps(about).encode()))
        for name in names:
            with open(asked["root"] + name, "rb") as file:
                put(tar, "files" + name, io.BytesIO(file.read(asked["file"] + 1)))
        with open(path, "rb") as file:
            put(tar, SNAPSHOT, file)


def put(tar: tarfile.TarFile, name: str, content: Any) -> None:
    member = tarfile.TarInfo(name)
    member.mode, member.size = 0o600, content.seek(0, os.SEEK_END)
    content.seek(0)
    tar.addfile(member, content)


def files(asked: dict[str, Any]) -> list[str]:
    """Those that have to be there, and of the others those that are."""
    missing = [name for name in asked["required"] if not os.path.isfile(asked["root"] + name)]
    if missing:
        raise NoBackup(REFUSED, "not there: " + ", ".join(missing))
    there = [name for name in asked["optional"] if os.path.isfile(asked["root"] + name)]
    return [*asked["required"], *there]


def enough_room(asked: dict[str, Any], size: int) -> None:
    room = os.statvfs(asked["work"])
    if size > asked["largest"]:
        raise NoBackup(REFUSED, "etcd has %d MiB, dc.yml allows %d" % (size >> 20, asked["largest"] >> 20))
    if room.f_bavail * room.f_frsize < size + size // 4 + (64 << 20):
        raise NoBackup(REFUSED, "%s has no room for a snapshot of %d MiB" % (asked["work"], size >> 20))


def etcdctl(asked: dict[str, Any], *words: str, shape: str = "json") -> str:
    """Its answer; counts come as fields only."""
    return run([*asked["etcdctl"], *words, *(() if "save" in words else ("--write-out", shape))])


def run(command: list[str]) -> str:
    done = subprocess.run(command, stdout=-1, stderr=-1, env=ENVIRONMENT, universal_newlines=True, check=False)
    if done.returncode != 0:
        raise NoBackup(FAILED, "%s: %s" % (os.path.basename(command[0]), done.stderr.strip()[-300:]))
    return done.stdout


def sweep(work: str) -> None:
    for name in os.listdir(work):
        if name != "lock":
            os.unlink(os.path.join(work, name))


def late(*_: Any) -> None:
    raise NoBackup(FAILED, "it took too long")


def say(code: int, text: str) -> int:
    sys.stderr.write(text + "\n")
    return code
