"""Disks as an older journal may have them: what a ramdisk once sent ends no plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.model import DiskSelector
from bmk.plan.disks import choose_disk

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["disks", "name", "size"]), inner),
)


@given(inspection=ODD | st.fixed_dictionaries({"disks": ODD}))
def test_an_odd_record_is_a_problem_of_one_host(inspection: Any) -> None:
    """Whatever the record holds, there is a choice to show, and no disk in it that nobody can read."""
    choice = choose_disk(DiskSelector(serial="D1"), inspection)
    assert choice.serial in (None, "D1")


@pytest.mark.parametrize("disks", [["x"], "x", [{"name": "sda", "size": "large"}], [{"name": ["sda"]}], 7])
def test_disks_that_cannot_be_read_are_told(disks: Any) -> None:
    """`disks: ["x"]` in a claim ended `bmk plan` for the whole data center."""
    assert "cannot be read" in choose_disk(DiskSelector(), {"disks": disks}).problem
