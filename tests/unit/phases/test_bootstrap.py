"""Who begins a cluster, who joins, who waits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bmk.phases.bootstrap import ClusterState, next_step

NAMES = ["a", "b", "c"]
names = st.frozensets(st.sampled_from(NAMES))
standings = st.builds(ClusterState, st.sampled_from([None, *NAMES]), names, names.map(lambda s: tuple(sorted(s))))


@settings(deadline=None)
@given(now=standings, coming=names)
def test_a_cluster_is_begun_only_where_there_is_none(now: ClusterState, coming: frozenset[str]) -> None:
    """Nobody begins while somebody answers, somebody else is a member, or somebody began before."""
    for host in NAMES:
        if next_step(host, now, coming) == "begin":
            assert now.founder is None
            assert not now.live
            assert not now.members - {host}


@settings(deadline=None)
@given(now=standings, coming=names)
def test_nobody_joins_a_half_begun_cluster(now: ClusterState, coming: frozenset[str]) -> None:
    """While a founder has not finished, it is the only one that does anything."""
    steps = {host: next_step(host, now, coming) for host in NAMES}
    if now.founder is not None:
        assert steps.pop(now.founder) == "finish"
        assert set(steps.values()) <= {"wait", "stuck"}


def test_first_comer_begins_and_the_next_joins() -> None:
    """No host is special: whoever asks first while nobody answers begins."""
    assert next_step("c", ClusterState(None, frozenset(), ()), {"a", "b"}) == "begin"
    assert next_step("a", ClusterState(None, frozenset({"c"}), ("c",)), {"b"}) == "join"


def test_a_silent_cluster_is_waited_for() -> None:
    """Members without an API server: a restart, or a disaster; in no case a new beginning."""
    assert next_step("a", ClusterState(None, frozenset({"b"}), ()), set()) == "silent"
