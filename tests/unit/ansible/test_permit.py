"""Playbooks need a permit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bmk.ansible.runner import ConvergeRequest, converge
from bmk.errors import LockHeld
from bmk.permit import permitted


def test_no_playbook_starts_for_a_run_that_lost_its_lock(tmp_path: Path) -> None:
    """The check comes last before ansible-playbook: no run of it leaves anything behind."""

    def lost() -> None:
        raise LockHeld("another run took the lock of this data center")

    async def run() -> None:
        with permitted(lost):
            await converge(ConvergeRequest("configure.yml", ("cp-1",), {}, tmp_path), print)

    with pytest.raises(LockHeld):
        asyncio.run(run())
    assert list(tmp_path.glob("*/artifacts")) == []
