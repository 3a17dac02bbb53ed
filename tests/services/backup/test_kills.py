"""Killed anywhere: no half backup counts, nothing runs on, and the next run finds a clean place."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bmk.backup.targets import BackupTarget
from bmk.journal import Journal
from bmk.journal.backup_causes import backup_cause
from bmk.live.backup_service import BackupSite, back_up
from tests.services.backup.conftest import CLUSTER, left_in_memory

pytestmark = pytest.mark.services


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Deadly:
    """A target that kills who writes there: at the first block, before the commit or after it."""

    target: BackupTarget
    moment: str

    @contextmanager
    def begin(self, name: str) -> Iterator[Any]:
        with self.target.begin(name) as upload:
            if self.moment == "write":
                upload.write(b"x")
                die()
            yield _Upload(upload, self.moment)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


@dataclass
class _Upload:
    upload: Any
    moment: str

    def write(self, block: bytes) -> int:
        return int(self.upload.write(block))

    def commit(self) -> None:
        if self.moment == "commit":
            die()
        self.upload.commit()
        die()


def _teller(word: str) -> Callable[[str], None]:
    return lambda text: die() if word in text else None


MOMENTS: dict[str, Callable[[BackupSite], BackupSite]] = {
    "snapshot taken": lambda site: replace(site, tell=_teller("taken")),
    "etcd runs": lambda site: replace(site, tell=_teller("restored")),
    "objects read": lambda site: replace(site, tell=_teller("decrypted")),
    "being written": lambda site: replace(site, target=Deadly(site.target, "write")),
    "written": lambda site: replace(site, target=Deadly(site.target, "commit")),
    "committed": lambda site: replace(site, target=Deadly(site.target, "record")),
}


def _backup(site: BackupSite) -> None:
    """In a process of its own, which needs its own connection to the journal."""
    back_up(replace(site, journal=Journal.open(site.journal.state)))


def _started_in(directory: Path) -> list[str]:
    """Processes whose working directory is below it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [str(path)] if str(path.readlink()).startswith(str(directory)) else []
        except OSError:
            continue
    return found


def test_killed_at_each_moment_it_leaves_nothing_that_counts(site: BackupSite, memory: Path) -> None:
    """The record, the place and the memory of this machine: one proven backup at the end, and nothing else."""
    place = Path(site.dc.spec.backup.target.directory.path)  # type: ignore[union-attr]
    for moment, deadly in MOMENTS.items():
        child = multiprocessing.get_context("fork").Process(target=_backup, args=(deadly(site),))
        child.start()
        child.join(300)
        assert child.exitcode == -signal.SIGKILL, moment
        assert site.record.kept == (), moment
        assert len(left_in_memory()) == 1, moment
        end = time.monotonic() + 30
        while _started_in(memory):
            assert time.monotonic() < end, "etcd and API server end with who started them"
            time.sleep(0.05)
        cause = backup_cause(site.journal.since(host=CLUSTER), "kept", CLUSTER)
        assert cause is not None
        assert "interrupted" in cause.what
    done = back_up(site)
    assert [path.name for path in place.iterdir()] == [done.name]
    assert left_in_memory() == []
