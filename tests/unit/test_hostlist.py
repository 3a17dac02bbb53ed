"""Names of many hosts in few words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bmk.hostlist import compact, expanded

racked = st.builds(
    lambda rack, n, width: f"r{rack}-{n:0{width}}", st.integers(1, 3), st.integers(0, 130), st.integers(1, 3)
)
names = st.sets(racked | st.from_regex(r"[a-z0-9][a-z0-9-]{0,6}", fullmatch=True), max_size=200)


@given(names=names)
def test_ranges_expand_to_exactly_the_hosts(names: set[str]) -> None:
    """No name is lost, none is added, none comes twice, whatever the names look like."""
    assert sorted(expanded(compact(names))) == sorted(names)


@given(first=st.integers(0, 50), count=st.integers(3, 500), width=st.integers(1, 4))
def test_hosts_that_count_up_are_one_range(first: int, count: int, width: int) -> None:
    """However many they are, padded with zeros or not."""
    rack = [f"r1-{n:0{width}}" for n in range(first, first + count)]
    assert compact(reversed(rack)) == f"{rack[0]} … {rack[-1]}"


def test_two_names_are_written_out() -> None:
    """A range begins at three names; other names stand between ranges in natural order."""
    assert compact(["r1-10", "r1-9", "db", "r1-11", "r2-1", "r2-2"]) == "db, r1-9 … r1-11, r2-1, r2-2"
