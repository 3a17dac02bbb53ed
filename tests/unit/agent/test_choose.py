"""Which disk may be wiped: exactly one, or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent.choose import choose_disk
from bmk.agent.errors import AgentError
from bmk.agent.model import Disk
from bmk.disks import fits, plain_wwn

GB = 10**9
names = st.sampled_from(["sda", "sdb", "sdc", "nvme0n1", "vda"])
disks = st.lists(
    st.builds(
        Disk,
        name=names,
        path=st.just("/dev/x"),
        size=st.sampled_from([240 * GB, 480 * GB, 960 * GB]),
        serial=st.sampled_from([None, "", "S1", "S2"]),
        wwn=st.sampled_from([None, "0x5000c50012345678", "eui.0025385b71b00001"]),
        rotational=st.booleans(),
    ),
    max_size=5,
)
selectors = st.fixed_dictionaries(
    {},
    optional={
        "serial": st.sampled_from(["S1", "S9", ""]),
        "wwn": st.sampled_from(["0x5000c50012345678", "naa.5000C50012345678", ""]),
        "size": st.sampled_from([">=400GB", "<=300GB", "480GB"]),
        "rotational": st.booleans(),
    },
)


@given(selectors, disks)
def test_a_disk_is_chosen_only_if_no_other_one_matches(selector: dict[str, Any], present: list[Disk]) -> None:
    """Whatever the machine holds, the answer is the only match or an explanation that lists what is there."""
    alone = []
    for disk in present:
        try:
            alone.append(choose_disk(selector, [disk]))
        except AgentError:
            continue
    if len(alone) == 1:
        assert choose_disk(selector, present) == alone[0]
    else:
        with pytest.raises(AgentError) as refused:
            choose_disk(selector, present)
        assert refused.value.why.startswith("this machine has")
        assert refused.value.hint


@given(disks.filter(lambda d: len(d) > 1))
def test_an_empty_selector_never_guesses(present: list[Disk]) -> None:
    """Without a selector, a machine with several disks is refused."""
    with pytest.raises(AgentError, match="several disks match the only disk"):
        choose_disk({}, present)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("0x5000c50012345678", "naa.5000c50012345678"),
        ("wwn-0x5000C50012345678", "0x5000c50012345678"),
        ("eui.0025385b71b00001", "0025385B71B00001"),
        ("50:00:C5:00:12:34:56:78", "naa.5000c50012345678"),
        ("nvme.8086-4254-01", "8086-4254-01"),
    ],
)
def test_a_wwn_is_the_same_however_it_is_spelled(written: str, seen: str) -> None:
    """udev, lsblk, sysfs and labels put different prefixes before the same number."""
    assert plain_wwn(written) == plain_wwn(seen)


@pytest.mark.parametrize(
    ("wanted", "size", "expected"),
    [
        (">=400GB", 480 * GB, True),
        (">=400GB", 399 * GB, False),
        ("<=1TB", 960 * GB, True),
        ("480GB", 480103981056, True),
        ("480GB", 512 * GB, False),
        ("12GiB", 12 * 2**30, True),
    ],
)
def test_size_classes(wanted: str, size: int, expected: bool) -> None:
    """A bare size allows for what vendors round; comparisons are exact."""
    assert fits(wanted, size) is expected


def test_unknown_keys_refuse() -> None:
    """A selector that this agent does not understand completely selects nothing."""
    with pytest.raises(AgentError, match="cannot be understood"):
        choose_disk({"slot": 3}, [Disk("sda", "/dev/sda", GB)])


def test_an_empty_serial_is_nobodys_name() -> None:
    """Disks that report no serial are not all called "" by a selector that says so."""
    with pytest.raises(AgentError):
        choose_disk({"serial": ""}, [Disk("sda", "/dev/sda", GB, serial="")])
