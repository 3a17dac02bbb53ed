"""The library that gives `ipmi_sim` a boot initiator mailbox: boot_mailbox.c, compiled once against its headers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from bmk.errors import PreflightRefused
from bmk.paths import cache_dir

_SOURCE = Path(__file__).with_name("boot_mailbox.c")


def library() -> Path:
    """Path of the compiled library. PreflightRefused with the compiler's words."""
    directory = cache_dir() / "lab"
    target = directory / f"boot_mailbox-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not target.exists():
        directory.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        _compile(part)
        part.replace(target)
    return target


def _compile(target: Path) -> None:
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", str(target), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PreflightRefused(
            "the mailbox of the lab's IPMI BMCs cannot be compiled",
            where=str(_SOURCE), why=done.stderr.strip()[-300:], hint="apt install libopenipmi-dev (scripts/setup does)",
        )  # fmt: skip
