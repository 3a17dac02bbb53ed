"""How a run of `bmk provision` ends before its time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bmk.cli.running import _interruptible
from bmk.engine.executor import Outcome
from bmk.engine.lock import RunLock
from bmk.errors import LockHeld
from bmk.journal import Journal


def test_a_run_that_loses_its_lock_is_cancelled_and_says_who_has_it(tmp_path: Path) -> None:
    """It does not go on beside the run that took the lock; its error is the real one, not an interrupt."""
    journal, ended = Journal.open(tmp_path), []

    async def robbed() -> list[Outcome]:
        with journal.transaction() as db:
            db.execute("UPDATE leases SET owner = 'eve@other pid 1', fence = fence + 1 WHERE name = 'run'")
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)
        return []

    with RunLock(journal, "r1", lease=0.3) as lock, pytest.raises(LockHeld, match="another run took") as caught:
        asyncio.run(_interruptible(robbed(), lock))
    assert "eve@other" in caught.value.why
    assert ended
