"""PID 1 of the lab's namespaces: starts the supervisor, reaps orphaned processes, and ends when the supervisor ends.

When it ends, by any signal, the kernel kills every process of the lab: that is how a lab leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

_COLUMN_STARTTIME = 19  # of /proc/<pid>/stat, counted after the command's name


def start_ticks(pid: int) -> int:
    """When a process began, in clock ticks since boot:

    with the PID it names one process for ever. Raises OSError: none such.
    """
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rsplit(")", 1)[1].split()[_COLUMN_STARTTIME])


def _end_with_launcher() -> None:
    """stdin is a pipe from the launcher, which writes nothing: it closes when the launcher ends."""
    os.read(0, 1)
    os._exit(1)


def main(dc: str, pid_file: Path) -> int:
    """Runs as PID 1, before /proc is mounted anew: /proc/self still says who we are on the host."""
    outside = int(Path("/proc/self").readlink().name)
    temporary = pid_file.with_suffix(".new")
    temporary.write_text(json.dumps({"pid": outside, "ticks": start_ticks(outside)}))
    temporary.replace(pid_file)
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(sys.executable, [sys.executable, "-m", "bmk.lab.supervisor", "--dc", dc])  # noqa: S606 - fork and exec is all that PID 1 does
    for number in (signal.SIGTERM, signal.SIGINT):  # PID 1 has no default actions
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        try:
            pid, status = os.wait()
        except InterruptedError:
            continue
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
