"""The secrets of grants that are under way: one private file each beside the journal, gone with the grant.

Never in the journal, which is copied and kept: a grant's nonce authenticates its machine as long as the grant is open.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from bmk.agent.proof import NONCE
from bmk.boot import grants
from bmk.errors import PreflightRefused
from bmk.journal import Journal
from bmk.paths import private_dir

_GRANT = re.compile(r"[0-9a-f]{32}")
GRACE = 900.0  # seconds after a grant's end: a machine whose answer was lost repeats its report


class Nonces:
    """Of one data center. `directory` is made when the first is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def of(cls, journal: Journal) -> Nonces:
        """Of the grants in this journal."""
        return cls(journal.state / "boot" / "nonces")

    def get(self, grant: str) -> bytes | None:
        """The nonce of a grant; None while there is none."""
        with suppress(FileNotFoundError):
            held = self._path(grant).read_bytes()
            return held if len(held) == NONCE else None
        return None

    def made(self, grant: str) -> bytes:
        """The nonce of a grant, made when it has none: a run that is continued after a kill uses the same."""
        return self.keep(grant, secrets.token_bytes(NONCE))

    def keep(self, grant: str, nonce: bytes) -> bytes:
        """Store a nonce for a grant unless it has one; returns the stored one. Atomic among processes."""
        private_dir(self._directory)
        fresh = self._directory / f".{secrets.token_hex(8)}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(nonce)
        try:
            os.link(fresh, self._path(grant))
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return self.get(grant) or nonce

    def forget(self, grant: str) -> None:
        """No error when there is none."""
        self._path(grant).unlink(missing_ok=True)

    def sweep(self, journal: Journal, now: float) -> None:
        """Remove the nonces of ended grants, and unfinished files of killed processes."""
        for path in self._directory.glob("*") if self._directory.is_dir() else ():
            over = _over(journal, path.name, now) if _GRANT.fullmatch(path.name) else _stale(path, now)
            if over:
                path.unlink(missing_ok=True)

    def _path(self, grant: str) -> Path:
        if not _GRANT.fullmatch(grant):
            raise PreflightRefused("there is no such grant", where=grant, hint="bmk grant list DC")
        return self._directory / grant


def _over(journal: Journal, grant: str, now: float) -> bool:
    try:
        ended = grants.get(journal, grant).ended
    except PreflightRefused:
        return True
    return ended is not None and now > ended + GRACE


def _stale(path: Path, now: float) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime < now - GRACE
    return False
