"""Writes the traceback of a bug to a private file; the terminal shows one line."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path

from bmk import __version__
from bmk.paths import crash_dir, private_dir

_KEPT = 20  # newest logs; a command in a loop must not fill the disk


def write_crash(error: Exception) -> Path:
    """Write the traceback to a new file, readable by its owner only, and return its path.

    Arguments of the command are written, environment variables are not: they may hold secrets.
    """
    directory = crash_dir()
    private_dir(directory)
    path = directory / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    head = f"bmk {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv}\n\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(head + "".join(traceback.format_exception(error)))
    _forget_oldest(directory)
    return path


def _forget_oldest(directory: Path) -> None:
    for old in sorted(directory.glob("*.log"))[:-_KEPT]:  # names begin with the time
        old.unlink(missing_ok=True)
