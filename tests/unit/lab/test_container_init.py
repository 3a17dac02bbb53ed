"""What a system container's first process prepares without mounts: units that are skipped, settings that are copied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bmk.lab.machines import container_init


def test_units_are_skipped_in_containers_only(tmp_path: Path) -> None:
    """A drop-in of each unit, with systemd's own condition."""
    container_init.skip_units(tmp_path, ["a.service", "b.timer"])
    for unit in ("a.service", "b.timer"):
        text = (tmp_path / f"systemd/system/{unit}.d/container.conf").read_text()
        assert text == "[Unit]\nConditionVirtualization=!container\n"


def test_a_setting_that_cannot_be_read_is_an_empty_file(tmp_path: Path) -> None:
    """Some settings can only be written: they are there, and starting does not fail."""
    (tmp_path / "readable").write_text("1\n")
    container_init._copy_sysctl(tmp_path / "readable", tmp_path / "a")
    container_init._copy_sysctl(tmp_path / "missing", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "1\n"
    assert (tmp_path / "b").read_text() == ""


def test_a_mount_that_fails_names_its_target(tmp_path: Path) -> None:
    """The log of a start says what could not be mounted, and where."""
    with pytest.raises(OSError, match="mount nosuchfs") as error:
        container_init.mount("x", tmp_path, "nosuchfs")
    assert error.value.filename == str(tmp_path)


def test_it_runs_without_bmk() -> None:
    """It is a script for an isolated interpreter: standard library only."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", container_init.__file__, "boot", "/nonexistent"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "No such file or directory: '/nonexistent'" in done.stderr
