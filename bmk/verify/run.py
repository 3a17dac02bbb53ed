"""Runs the suites on hosts, by pytest in processes of their own, over pinned host keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["passed", "failed", "error", "skipped"]
SUITES = Path(__file__).parent / "suites"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Result:
    """One test on one host, or one check of a cluster. `text` says what was seen when it is not passed."""

    where: str
    suite: str
    test: str
    outcome: Outcome
    text: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Door:
    """How to log in: the deployer's private key and the file of pinned host keys."""

    identity: Path
    known_hosts: Path


def verify(hosts: Mapping[str, str], door: Door, *, processes: int = 8, seconds: float = 600.0) -> list[Result]:
    """All suites on these hosts (name -> address); one process, and one ssh connection, for each host."""
    with ThreadPoolExecutor(max(1, min(processes, len(hosts)))) as pool:
        parts = pool.map(lambda item: list(_host(item[0], item[1], door, seconds)), hosts.items())
        return [result for part in parts for result in part]


def _host(name: str, address: str, door: Door, seconds: float) -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="bmk-verify-") as directory:
        report = Path(directory) / "report"
        report.touch()
        said = _pytest(address, door, Path(directory), report, seconds)
        results = [json.loads(line) for line in report.read_text().splitlines()]
    if not results:
        yield Result(name, "verify", "it could be asked", "error", said[-1500:])
    for r in results:
        yield Result(name, r["suite"], r["test"].replace("_", " "), r["outcome"], r["text"], r["seconds"])


def _pytest(address: str, door: Door, directory: Path, report: Path, seconds: float) -> str:
    config = directory / "ssh_config"
    lines = ("UserKnownHostsFile " + str(door.known_hosts), "GlobalKnownHostsFile /dev/null",
             "StrictHostKeyChecking yes", "IdentitiesOnly yes", "BatchMode yes", "ConnectTimeout 15",
             "ServerAliveInterval 15")  # fmt: skip
    config.write_text("Host *\n" + "".join(f"  {line}\n" for line in lines))
    # what of this project's own settings would apply, does not
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "bmk.verify.plugin", "-c", os.devnull]
    argv += ["--rootdir", str(SUITES), f"--hosts=ssh://root@{address}", f"--ssh-config={config}"]
    argv += [f"--ssh-identity-file={door.identity}", "--import-mode=importlib", str(SUITES)]
    environment = {**os.environ, "BMK_VERIFY_REPORT": str(report), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"the suites did not end within {seconds:g} s"
    return done.stdout + done.stderr


def passed(results: Sequence[Result]) -> bool:
    return all(r.outcome in ("passed", "skipped") for r in results)
