"""Starts a lab from outside of its namespaces: makes them, waits for their end, and removes its control groups.

When the launcher is killed, its lab ends; the next `lab up` or `lab down` then removes the control groups.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bmk.errors import BmkError, PreflightRefused
from bmk.lab.client import is_up, request
from bmk.lab.host import cgroups
from bmk.lab.host.init import start_ticks
from bmk.paths import private_dir, state_dir

ERROR = "error.json"  # below the lab's directory: why it did not come up


def lab_dir(dc: str) -> Path:
    return state_dir(dc) / "lab"


def cgroup_name(dc: str) -> str:
    """The lab's cgroup: it differs between labs of one name in different state directories."""
    return f"bmk-{dc}-{hashlib.sha256(str(lab_dir(dc).resolve()).encode()).hexdigest()[:8]}"


def supervisor_pid(dc: str) -> int | None:
    """The living PID 1 of the lab, as seen from here, or None."""
    try:
        known = json.loads((lab_dir(dc) / "supervisor.json").read_text())
        alive = start_ticks(known["pid"]) == known["ticks"]
    except (OSError, ValueError, KeyError):
        return None
    return int(known["pid"]) if alive else None


def start(dc: str, inventory: str) -> subprocess.Popen[bytes]:
    """Start the launcher in the background. `inventory` as the user gave it.

    Returns at once: ask the control socket how far it is. The process ends with the lab.
    """
    directory = lab_dir(dc)
    private_dir(directory)
    with (directory / "lab.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bmk.lab.host.launcher", dc, inventory],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def stop(dc: str, seconds: float = 30.0) -> bool:
    """Ask the lab to end, kill it when it does not, clean up. False when there was none."""
    pid = supervisor_pid(dc)
    if pid is not None:
        with contextlib.suppress(BmkError):
            request(dc, "down", seconds=seconds)
        _wait_gone(dc, pid, seconds)
    clean(dc)
    return pid is not None


def _wait_gone(dc: str, pid: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while supervisor_pid(dc) == pid:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            end += seconds
        time.sleep(0.02)


def clean(dc: str, seconds: float = 10.0) -> None:
    """Remove what an ended lab left: cgroups, sockets. Refuses while one runs."""
    if supervisor_pid(dc) is not None:
        raise PreflightRefused(f"the lab of {dc} is up", hint=f"bmk lab down {dc}")
    end = time.monotonic() + seconds
    while left := cgroups.remove(cgroups.find(), cgroup_name(dc)):
        if time.monotonic() > end:  # processes leave their group a moment after they ended
            raise PreflightRefused("control groups of a dead lab are still in use", where=str(left[0]))
        time.sleep(0.02)
    for name in ("control.sock", "supervisor.json"):
        (lab_dir(dc) / name).unlink(missing_ok=True)


def _run(dc: str, inventory: str) -> int:
    if is_up(dc):
        return 0
    clean(dc)
    namespaces = ["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
    if os.geteuid() != 0:
        namespaces += ["--user", "--map-root-user"]
    init = [sys.executable, "-m", "bmk.lab.host.init", inventory, str(lab_dir(dc) / "supervisor.json")]
    process = subprocess.Popen(["unshare", *namespaces, *init], stdin=subprocess.PIPE)  # `init.py` waits for its end
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    code = process.wait()
    clean(dc)
    return code


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1], sys.argv[2]))
