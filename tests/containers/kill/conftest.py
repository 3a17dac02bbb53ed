"""A lab of one control plane and one worker as system containers, in a state directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.errors import BmkError
from bmk.journal import Journal
from bmk.paths import cache_dir

HERE = Path(__file__).resolve().parent
NAME = "kill"


@dataclass
class Lab:
    """`bmk` with the state directory of a test, and the journal that its runs write."""

    state: Path
    dc: Path = field(default=HERE / "dc.yml")

    def command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        return [sys.executable, "-m", "bmk", *verb.split(), str(self.dc), *rest]

    @property
    def env(self) -> dict[str, str]:
        cache = self.state / "cache"  # this mirror with a lock of its own: builds elsewhere do not matter
        return {**os.environ, "BMK_STATE_DIR": str(self.state), "BMK_CACHE_DIR": str(cache), "NO_COLOR": "1"}

    def bmk(self, *arguments: str, code: int | None = 0) -> str:
        """Run to the end and return stdout; any other exit code than `code` fails the test with all that was said."""
        command = self.command(*arguments)
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=1800, check=False)
        said = done.stderr[-4000:]
        assert code is None or done.returncode == code, f"{arguments} ended with {done.returncode}\n{said}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it in the background; entering the lab replaces the process, so its pid stays."""
        with (self.state / "run.log").open("a") as log:
            return subprocess.Popen(self.command(*arguments), env=self.env, stdout=log, stderr=log, text=True)

    @property
    def journal(self) -> Journal:
        return Journal(self.state / NAME / "journal.db")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Nothing of it is left after the test."""
    if os.geteuid() != 0:
        pytest.skip("system containers need root")
    try:
        load_mirror()
    except BmkError as error:
        pytest.skip(f"{error.what}: {error.why}")
    lab = Lab(tmp_path_factory.mktemp("kill"))
    (lab.state / "cache").mkdir()
    for part in ("mirror", "registry", "rootfs"):
        (lab.state / "cache" / part).symlink_to(cache_dir() / part)
    try:
        yield lab
    finally:
        subprocess.run(lab.command("lab down"), env=lab.env, capture_output=True, timeout=120, check=False)
        shutil.rmtree(lab.state / NAME / "lab", ignore_errors=True)
