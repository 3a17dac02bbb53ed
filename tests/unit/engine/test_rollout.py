"""How many members of a cluster are away at a time, and that etcd keeps its quorum."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.model import RolloutSpec
from bmk.engine.rollout import Away, Disruptions, NotBegun, Rollout, permitted, quorum, rollouts

DC = load_datacenter(Path(__file__).resolve().parents[3] / "inventories" / "lab-ha" / "dc.yml")
WORKER = DC.hosts["worker-1"]
FLEET = {
    f"{role}-{n}": replace(WORKER, name=f"{role}-{n}", role=role, rack=f"r{n % 3}", cluster=f"c{n % 2}")
    for role in ("worker", "control_plane")
    for n in range(12)
}
bounds = st.builds(
    Rollout,
    max_unavailable=st.integers(1, 4),
    max_unavailable_rack=st.sampled_from([None, 1, 2]),
    stop_after=st.integers(1, 3),
    pause_after=st.sampled_from([None, 1, 5]),
)


@given(one=bounds, other=bounds, data=st.data())
def test_no_bound_is_ever_passed(one: Rollout, other: Rollout, data: st.DataObject) -> None:
    """In any order of coming, returning and failing: per cluster, per rack, one control plane, failures, pause.

    Each cluster has bounds of its own; that of racks is the same for both here, so that it can be told from outside.
    """
    both = {"c0": one, "c1": replace(other, max_unavailable_rack=one.max_unavailable_rack)}
    asyncio.run(_drive(both, data))


async def _drive(both: Mapping[str, Rollout], data: st.DataObject) -> None:
    turns, tasks, failed = Disruptions(both), {}, 0
    stop_after = min(r.stop_after for r in both.values())
    names = data.draw(st.permutations(list(FLEET)))
    for name in names:
        tasks[name] = asyncio.create_task(turns.begin(FLEET[name]))
        await asyncio.sleep(0)
        away = [FLEET[n] for n in turns.away()]
        begun = [FLEET[n] for n, t in tasks.items() if t.done() and t.exception() is None]
        for cluster, rollout in both.items():
            inside = [h for h in away if h.cluster == cluster]
            assert len(inside) <= rollout.max_unavailable
            ever = [h for h in begun if h.cluster == cluster]
            assert rollout.pause_after is None or len(ever) <= rollout.pause_after
            assert len([h for h in inside if h.role == "control_plane"]) <= 1
        for rack in ("r0", "r1", "r2"):
            bound = both["c0"].max_unavailable_rack
            assert bound is None or len([h for h in away if h.rack == rack]) <= bound
        if away and data.draw(st.booleans()):
            host, bad = data.draw(st.sampled_from(away)), data.draw(st.booleans())
            if bad and failed < stop_after:
                turns.failed(host)
                failed = len([n for n in turns.away() if n == host.name]) + failed
            else:
                turns.returned(host)
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


def test_who_waits_for_what_failed_is_told_so() -> None:
    """A failed member does not come back: whoever waits for its place ends with its name, and is not touched."""

    async def run() -> None:
        turns = Disruptions({"c0": Rollout(stop_after=5)})
        one, other = FLEET["worker-0"], FLEET["worker-2"]
        await turns.begin(one)
        waiting = asyncio.create_task(turns.begin(other))
        await asyncio.sleep(0)
        assert not waiting.done()
        turns.failed(one)
        with pytest.raises(NotBegun, match="the rollout stopped") as error:
            await waiting
        assert "worker-0" in (error.value.why or "")

    asyncio.run(run())


def test_a_host_without_a_cluster_gets_a_turn() -> None:
    """One that became a spare in the file may still be a node of its cluster, and its node is drained in a turn."""
    turns, spare = Disruptions({"c0": Rollout()}), replace(FLEET["worker-0"], cluster=None)
    asyncio.run(turns.begin(spare))
    assert spare.name in turns.away()
    assert turns.soak(spare) == 0


def test_a_turn_that_nobody_takes_goes_on() -> None:
    """Cancelled while it waits, or in the moment it is served: the place is free for the next."""

    async def run() -> None:
        turns = Disruptions({"c0": Rollout()})
        one, other, third = (FLEET[f"worker-{n}"] for n in (0, 2, 4))
        await turns.begin(one)
        waiting = asyncio.create_task(turns.begin(other))
        await asyncio.sleep(0)
        turns.returned(one)  # it is served
        waiting.cancel()  # and gone
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(turns.begin(third), 1)

    asyncio.run(run())


@given(
    etcd=st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e"]), st.booleans(), min_size=1),
    member=st.sampled_from(["a", "b", "c", "d", "e"]),
)
def test_etcd_keeps_its_quorum(etcd: dict[str, bool], member: str) -> None:
    """A restart that is allowed leaves a majority of three or more; a removal leaves one of those that stay."""
    others = [name for name, well in etcd.items() if well and name != member]
    if quorum(member, etcd, "restarted") and etcd.get(member) and len(etcd) > 2:
        assert len(others) >= len(etcd) // 2 + 1
    if quorum(member, etcd, "removed"):
        assert sum(etcd.values()) >= len(etcd) // 2 + 1  # the removal itself is agreed on
        rest = len(etcd) - (member in etcd)
        assert len(others) >= rest // 2 + 1


def test_a_dead_member_of_three_may_be_replaced() -> None:
    """That is what a replacement is for; with two dead ones nothing is removed any more."""
    assert quorum("a", {"a": False, "b": True, "c": True}, "removed")
    assert not quorum("a", {"a": False, "b": False, "c": True}, "removed")
    assert not quorum("b", {"a": False, "b": True, "c": True}, "restarted")


def test_paused_is_no_failure_and_says_how_it_goes_on() -> None:
    """After as many members as were asked for the rest is not begun."""
    away = Away(begun=2)
    assert permitted(WORKER, away, Rollout(pause_after=2)) == "paused"
    assert permitted(WORKER, away, Rollout(pause_after=3)) == "now"


said = st.fixed_dictionaries(
    {},
    optional={
        "max_unavailable": st.integers(1, 9),
        "max_unavailable_rack": st.integers(1, 9),
        "stop_after": st.integers(1, 9),
        "pause_after": st.integers(1, 9),
        "soak": st.floats(0, 99),
    },
)


@given(everywhere=said, here=said, asked=said)
def test_the_closest_word_counts(everywhere: dict[str, Any], here: dict[str, Any], asked: dict[str, Any]) -> None:
    """Field by field: options of the command, then the cluster, then spec.rollout, then the action; a default that
    nobody wrote never hides what somebody wrote.
    """
    one = DC.spec.clusters["lab-ha"]
    clusters = {"a": one.model_copy(update={"rollout": RolloutSpec.model_validate(here)}), "b": one}
    spec = DC.spec.model_copy(update={"clusters": clusters, "rollout": RolloutSpec.model_validate(everywhere)})
    action = Rollout(max_unavailable=20, max_unavailable_rack=21, stop_after=22, pause_after=23, soak=24.0)
    found = rollouts(spec, action, asked)
    for field in Rollout.__slots__:
        mine = getattr(action, field)
        assert getattr(found["b"], field) == asked.get(field, everywhere.get(field, mine))
        assert getattr(found["a"], field) == asked.get(field, here.get(field, everywhere.get(field, mine)))


def test_what_the_file_takes_is_what_a_run_has() -> None:
    """Each bound of a run can be written in dc.yml, with the same default, and dc.yml has no other."""
    empty = RolloutSpec()
    assert {field: getattr(empty, field) for field in RolloutSpec.model_fields} == {
        field: getattr(Rollout(), field) for field in Rollout.__slots__
    }
