"""Other programs, as the agent runs them: all of them here, because what they print is bytes.

Labels of old file systems, names of partitions and entries of firmware are whatever somebody once wrote there.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from bmk.agent.errors import AgentError

_TOLD = 300  # characters of what a program says about its failure
_NOT_FOUND = 127


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. Bytes that are no UTF-8 are in `out` and `err` as `\\xfc`."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """Why it failed, in its own words."""
        return (self.err or self.out).strip()[-_TOLD:] or f"exit {self.code}"


def run(*command: str, stdin: str = "", timeout: float | None = None) -> Ended:
    """Run to the end, or for `timeout` seconds (subprocess.TimeoutExpired). One that is not there ends with 127."""
    try:
        done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        return Ended(_NOT_FOUND, "", str(error))
    return Ended(done.returncode, _text(done.stdout), _text(done.stderr))


def output(*command: str, stdin: str = "") -> str:
    """What it prints; AgentError with its own words when it fails."""
    done = run(*command, stdin=stdin)
    if done.code != 0:
        raise AgentError(f"{command[0]} failed", why=done.reason)
    return done.out


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
