"""Which disk a plan names and when it asks: exactly as the ramdisk will decide, whatever the file and the disk say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent import choose, policy
from bmk.agent.errors import AgentError
from bmk.agent.model import Disk, DiskContent, HostNetwork, ImageSource, InstallSpec
from bmk.datacenter.model import DiskSelector
from bmk.plan.disks import choose_disk

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["disks", "name", "size"]), inner),
)
SWAP = DiskContent("/dev/sda1", "swap", foreign=False)
OURS = DiskContent("/dev/sda", "an unfinished bmk installation", foreign=False)
LVM = DiskContent("/dev/sda2", "LVM physical volume", foreign=True)
NETWORK = HostNetwork("10.0.0.5", 24, None, (), (), 1500, ())
WWNS = ["0x5000c50012345678", "eui.0025385b71b00001", "nvme.8086-4254", "naa.5000c50012345678"]
found_disks = st.lists(
    st.builds(
        Disk,
        name=st.sampled_from(["sda", "sdb"]),
        path=st.just("/dev/x"),
        size=st.sampled_from([240 * 10**9, 480 * 10**9]),
        serial=st.sampled_from([None, "", "S1", "S 2", " S1", "S\x1b2", "S\ufffd", "9" * 300]),
        wwn=st.sampled_from([None, *WWNS]),
        rotational=st.booleans(),
        findings=st.sampled_from([(), (SWAP,), (OURS,), (SWAP, LVM)]),
    ),
    max_size=3,
)
selectors = st.builds(
    DiskSelector,
    serial=st.sampled_from([None, None, "S1", "S 2"]),
    wwn=st.sampled_from([None, None, "naa.5000C50012345678", "5000c50012345678", "EUI.0025385B71B00001", "8086-4254"]),
    size=st.sampled_from([None, ">=400GB", "240GB"]),
    rotational=st.sampled_from([None, True, False]),
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


@given(selectors, found_disks)
def test_plan_and_ramdisk_mean_the_same_disk(selector: DiskSelector, present: list[Disk]) -> None:
    """One disk or none, and the same one; the plan asks exactly when the ramdisk would refuse, and a confirmation of
    what the plan names is enough for the ramdisk.
    """
    planned = choose_disk(selector, {"disks": [disk.said() for disk in present]})
    try:
        disk = choose.choose_disk(selector.model_dump(exclude_none=True), present)
    except AgentError:
        assert planned.problem
        assert not planned.foreign
        return
    assert not planned.problem
    assert (planned.name, planned.size) == (disk.name, disk.size)
    assert planned.foreign is refused(disk, None)
    assert not refused(disk, planned.identity)


@pytest.mark.parametrize(
    ("selector", "disk"),
    [
        ({"serial": "S1"}, Disk("sda", "/dev/sda", 1, "S1", "0x5000c500a", findings=(LVM,))),
        ({"wwn": "naa.5000C500A"}, Disk("sda", "/dev/sda", 1, "S1", "0x5000c500a", findings=(LVM,))),
    ],
)
def test_a_disk_is_confirmed_before_anybody_saw_it(selector: dict[str, str], disk: Disk) -> None:
    """The file names it by serial or WWN: that is what a confirmation calls it, and the ramdisk knows it by both."""
    assert not refused(disk, choose_disk(DiskSelector(**selector), None).identity)


def test_a_disk_without_serial_and_wwn_is_confirmed_by_path_and_size() -> None:
    """It could never be confirmed: `--confirm` asked for ever. A confirmation counts for no disk of another size."""
    disk = Disk("vda", "/dev/vda", 8 << 30, findings=(LVM,))
    named = choose_disk(DiskSelector(), {"disks": [disk.said()]}).identity
    assert named == f"/dev/vda of {8 << 30} bytes"
    assert not refused(disk, named)
    assert refused(Disk("vda", "/dev/vda", 9 << 30, findings=(LVM,)), named)
    assert refused(Disk("vda", "/dev/vda", 8 << 30, "S1", findings=(LVM,)), named)


def refused(disk: Disk, confirmed: str | None) -> bool:
    spec = InstallSpec("n", "n", NETWORK, {}, confirmed, ImageSource("http://x", "0" * 64), ("ssh-ed25519 A",))
    try:
        policy.check_foreign(disk, spec)
    except AgentError:
        return True
    return False
