"""Whom a campaign kills: processes of a run of bmk, found by their parents, as they are at this moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

_ANSIBLE = ("ansible", "ssh")  # what a converge starts: its controller, a fork for each host, connections


def kill(kind: str, run: int, lab: int, random: Random) -> str:
    """kill -9 of one `kind` of victim; what was killed, in words, or "" when there is none now.

    `run`: the process of `bmk provision`; `lab`: that of the lab's supervisor.
    """
    if kind == "bmk":
        return _end([run], "bmk")
    if kind == "bmk and its children":
        return _end([run, *_below(run)], kind)
    if kind == "boot service":
        return _end([pid for pid in _below(lab) if "bmk.boot.service" in _command(pid)], kind)
    children = [pid for pid in _below(run) if any(word in _command(pid) for word in _ANSIBLE)]
    return _end([random.choice(children)], "a child of ansible") if children else ""


KINDS = ("bmk", "bmk and its children", "boot service", "a child of ansible")


def _end(pids: list[int], words: str) -> str:
    commands = [f"{pid} {_command(pid)[:60]}".strip() for pid in pids]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"{words} ({'; '.join(commands[:3])})" if pids else ""


def _below(parent: int) -> list[int]:
    """Its children and theirs, in no order."""
    parents: dict[int, list[int]] = {}
    for pid, above in _processes():
        parents.setdefault(above, []).append(pid)
    found, left = [], [parent]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _processes() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            yield int(path.parent.name), int(path.read_text().rsplit(")", 1)[1].split()[1])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
