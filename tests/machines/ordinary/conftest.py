"""An ordinary user of Debian: without capabilities, without sbin in PATH, with a home and a cache of their own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

USER = 12345
REPOSITORY = Path(__file__).resolve().parents[3]
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"  # of Debian's /etc/profile, for all but root


def blocked(path: Path) -> Path | None:
    """The highest directory above `path` that other users may not pass."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)


def opened(stash: Path) -> list[str]:
    """Shell lines for a private mount namespace: others may read interpreter and checkout, and the user has a name."""
    needed = dict.fromkeys(Path(p).resolve() for p in (sys.base_prefix, sys.prefix, REPOSITORY))
    shut = {path: top for path in needed if (top := blocked(path))}
    lines = []
    for number, path in enumerate(shut):
        lines += [f"mkdir -p {stash}/{number}", f"mount --bind {path} {stash}/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {top}" for top in dict.fromkeys(shut.values())]
    for number, path in enumerate(shut):
        lines += [f"mkdir -p {path}", f"mount --bind {stash}/{number} {path}"]
    return [*lines, f"mount --bind {stash}/passwd /etc/passwd"]


@dataclass(frozen=True)
class Ordinary:
    """`stash` is for what others must not see at its place."""

    home: Path
    stash: Path

    @property
    def state(self) -> Path:
        return self.home / ".local/state/bmk"

    @property
    def cache(self) -> Path:
        return self.home / ".cache/bmk"

    def run(self, *command: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """A command in the checkout, as this user."""
        go = shutil.which("go")  # what scripts/setup found when it made this environment
        environment = {"PATH": PATH + (f":{Path(go).parent}" if go else ""), "HOME": str(self.home)}
        if os.geteuid() == 0:
            drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups --bounding-set=-all --inh-caps=-all"
            lines = ["set -e", *opened(self.stash), f"cd {REPOSITORY}", f"exec {drop} {shlex.join(command)}"]
            command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines))
        return subprocess.run(
            command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds, check=False
        )

    def bmk(self, *arguments: str, seconds: float = 300) -> str:
        done = self.run(sys.executable, "-m", "bmk", *arguments, seconds=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def owns(self, path: Path) -> None:
        """Give a path, with all below, to this user."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", path], check=True)


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    """Not below pytest's directory, which others may not pass. Skips where such users get no namespaces."""
    with TemporaryDirectory(prefix="bmk-ordinary-") as name:
        place = Path(name)
        place.chmod(0o755)
        user = Ordinary(place / "home", place / "stash")
        for directory in (user.home, user.stash):
            directory.mkdir()
        passwd = f"{Path('/etc/passwd').read_text()}ordinary:x:{USER}:{USER}::{user.home}:/bin/sh\n"
        (user.stash / "passwd").write_text(passwd)
        user.owns(user.home)
        allowed = user.run("unshare", "--user", "--map-root-user", "--net", "true")
        if allowed.returncode != 0:
            pytest.skip(f"this machine forbids user namespaces to ordinary users: {allowed.stderr.strip()}")
        yield user
