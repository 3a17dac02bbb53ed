"""State belongs to its owner alone, whoever makes the directory first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bmk.cli.crash import write_crash
from bmk.drift.baseline import Baseline, store
from bmk.errors import PreflightRefused
from bmk.journal import Journal
from bmk.paths import private_dir, state_dir
from bmk.secrets.store import write_generated
from bmk.ssh import deployer_key


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory that is not there yet, and the usual umask."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "a" / "state"))
    before = os.umask(0o022)
    yield tmp_path / "a" / "state"
    os.umask(before)


MAKERS: list[Callable[[], object]] = [
    lambda: Journal.open(state_dir("par")),
    lambda: deployer_key(state_dir("par")),
    lambda: write_generated(state_dir("par"), {"bmc/par": ("admin", "x")}),
    lambda: store(Journal.open(state_dir("par")), Baseline("one", 1.0, "d")),
    lambda: private_dir(state_dir("par") / "runs" / "1"),
    lambda: write_crash(ValueError("x")),
]


@pytest.mark.parametrize("make", MAKERS)
def test_whoever_is_first_makes_private_directories(state: Path, make: Callable[[], object]) -> None:
    """Nobody else can look into the state, nor list which data centers there are."""
    make()
    made = [state, *(path for path in state.rglob("*") if path.is_dir())]
    assert len(made) > 1
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {"0o700"}


def test_a_machine_without_openssh_is_told_what_to_install(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first command on a bare deployer makes the key: what is missing for it is no bug of bmk."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightRefused) as refused:
        deployer_key(state_dir("par"))
    assert refused.value.hint.endswith("apt-get install openssh-client")
    assert not (state / "par" / "ssh" / "id_ed25519").exists()
