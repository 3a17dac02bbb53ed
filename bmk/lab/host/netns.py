"""Runs commands that reach a lab's hosts inside the lab's network namespace: re-exec by nsenter, with the same
terminal, environment and directory.

Only the network (and, for an ordinary user, the user namespace) is entered: files, processes and signals stay those of
the caller.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from bmk.errors import Unreachable
from bmk.lab.host.launcher import supervisor_pid

INSIDE = "BMK_LAB_INSIDE"


def is_lab(dc: Any) -> bool:
    """Whether any host of this DataCenter is built by the lab."""
    return any(host.profile.lab is not None for host in dc.hosts.values())


def is_inside(dc: str) -> bool:
    return os.environ.get(INSIDE) == dc


def inside_command(dc: str, command: list[str]) -> list[str]:
    """`command` wrapped so that it runs inside the lab of `dc`, which must be up."""
    pid = supervisor_pid(dc)
    if pid is None:
        raise Unreachable(f"the lab of {dc} is not up", hint=f"bmk lab up {dc}")
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", "--target", str(pid), "--net", *user, "--", *command]


def ensure_inside(dc: Any) -> None:
    """Run this very command again inside the lab of DataCenter `dc`; returns when it is already there, or no lab.

    Raises Unreachable when the lab is not up. Does not return otherwise: the process is replaced.
    """
    if not is_lab(dc) or is_inside(dc.name):
        return
    command = inside_command(dc.name, [sys.executable, *sys.orig_argv[1:]])
    os.environ[INSIDE] = dc.name
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(command[0], command)  # noqa: S606 - the same command, elsewhere


def netns_path(dc: str) -> Path:
    """The lab's network namespace as a file, for tools that take one. Raises Unreachable when the lab is not up."""
    pid = supervisor_pid(dc)
    if pid is None:
        raise Unreachable(f"the lab of {dc} is not up", hint=f"bmk lab up {dc}")
    return Path(f"/proc/{pid}/ns/net")
