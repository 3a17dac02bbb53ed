"""The file in which OVMF keeps its variables, changed from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.errors import PreflightRefused
from bmk.lab.machines import nvram
from bmk.lab.machines.vm import firmware_variables


@pytest.fixture
def store(tmp_path: Path) -> bytes:
    """As a machine is delivered."""
    return firmware_variables(tmp_path).read_bytes()


def test_a_variable_is_added_behind_what_is_there(store: bytes) -> None:
    """Found again with vendor, name and data; the file keeps its size."""
    made = nvram.added(nvram.added(store, nvram.GLOBAL, "Boot00FC", b"B\xfcro"), nvram.GLOBAL, "Boot00FD", b"")
    found = [(one.vendor, one.name, one.data) for one in nvram.variables(made)]
    assert found == [(nvram.GLOBAL, "Boot00FC", b"B\xfcro"), (nvram.GLOBAL, "Boot00FD", b"")]
    assert len(made) == len(store)
    assert [one.name for one in nvram.variables(nvram.emptied(made, nvram.GLOBAL, "Boot00FC"))] == ["Boot00FD"]


def test_a_full_store_has_less_room_than_linux_leaves(store: bytes) -> None:
    """The kernel writes nothing below 5 KiB; firmware still starts, also the first time; emptied, nothing is left."""
    assert nvram.room(nvram.filled(store)) > nvram.FIRST_START
    kept = nvram.added(store, nvram.GLOBAL, "BootOrder", b"x")
    full = nvram.filled(kept)
    assert 2048 < nvram.room(full) < 5120
    assert nvram.filled(full) == full
    assert [one.name for one in nvram.variables(nvram.emptied(full))] == ["BootOrder"]
    with pytest.raises(PreflightRefused, match="no room"):
        nvram.added(full, nvram.GLOBAL, "Boot0002", bytes(8192))


def test_another_file_is_refused() -> None:
    """Nothing is written into what is no store."""
    with pytest.raises(PreflightRefused, match="no variables of OVMF"):
        nvram.filled(bytes(4096))
