"""Runs the suites on hosts, by pytest in processes of their own: one process and one ssh login for each host."""

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
_ENDED = (0, 1)  # pytest's exit codes: all passed, some failed


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """One test on one host, or one check of a cluster. `text` says what was seen when it is not passed."""

    where: str
    suite: str
    test: str
    outcome: Outcome
    text: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    hosts: Mapping[str, str],
    ssh_config: str = "",
    *,
    roles: Sequence[str] = (),
    processes: int = 8,
    seconds: float = 600.0,
) -> list[VerifyResult]:
    """All suites on these hosts (name -> "ssh://root@address", or "local://").

    Each of `roles` must have its suite run on one of them at least: a suite that did not run proves nothing.
    """
    with ThreadPoolExecutor(max(1, min(processes, len(hosts)))) as pool:
        parts = pool.map(lambda item: list(_host(item[0], item[1], ssh_config, seconds)), hosts.items())
        results = [result for part in parts for result in part]
    return results + suites_without_tests(roles, results)


def suites_without_tests(roles: Sequence[str], results: Sequence[VerifyResult]) -> list[VerifyResult]:
    """One error for each role whose suite ran no test anywhere."""
    heard = {r.suite for r in results if r.outcome in ("passed", "failed")}
    why = "none of its tests ran: no host has this role on record"
    return [VerifyResult("all", role, "its suite runs", "error", why) for role in roles if role not in heard]


def passed(results: Sequence[VerifyResult]) -> bool:
    return all(r.outcome in ("passed", "skipped") for r in results)


def _host(name: str, at: str, ssh_config: str, seconds: float) -> Iterator[VerifyResult]:
    with tempfile.TemporaryDirectory(prefix="bmk-verify-") as place:
        directory = Path(place)
        report, config = directory / "report", directory / "ssh_config"
        report.touch()
        config.write_text(_ssh_config(ssh_config, directory))
        try:
            problem = _pytest(at, config, report, seconds)
        finally:
            _hang_up(at, config)
        for r in map(json.loads, report.read_text().splitlines()):
            yield VerifyResult(name, r["suite"], r["test"].replace("_", " "), r["outcome"], r["text"], r["seconds"])
    if problem:
        yield VerifyResult(name, "verify", "it could be asked", "error", problem)


def _ssh_config(given: str, directory: Path) -> str:
    """One login for all that is asked: without a path for its socket ssh (so testinfra) logs in for each command."""
    lines = ("BatchMode yes", "ConnectTimeout 15", "ServerAliveInterval 15", f"ControlPath {directory}/s")
    return "Host *\n" + "\n".join(lines) + "\n" + given


def _pytest(at: str, config: Path, report: Path, seconds: float) -> str:
    """Why it did not come to its end; "" when it did, whatever it found."""
    # what of this project's own settings would apply, does not
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "bmk.verify.plugin", "-c", os.devnull]
    argv += [
        "--rootdir",
        str(SUITES),
        f"--hosts={at}",
        f"--ssh-config={config}",
        "--import-mode=importlib",
        str(SUITES),
    ]
    environment = {**os.environ, "BMK_VERIFY_REPORT": str(report), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"the suites did not end within {seconds:g} s"
    return "" if done.returncode in _ENDED else (done.stdout + done.stderr)[-1500:]


def _hang_up(at: str, config: Path) -> None:
    scheme, _, where = at.partition("://")
    if scheme == "ssh":
        subprocess.run(["ssh", "-F", str(config), "-O", "exit", where], capture_output=True, timeout=30, check=False)
