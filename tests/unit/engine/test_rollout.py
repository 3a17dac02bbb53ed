"""How many members of a cluster are away at a time, and that etcd keeps its quorum."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.load import load_datacenter
from bmk.engine.rollout import Away, Disruptions, NotBegun, Rollout, permitted, quorum

DC = load_datacenter(Path(__file__).resolve().parents[3] / "inventories" / "lab-ha" / "dc.yml")
WORKER = DC.hosts["worker-1"]
FLEET = {
    f"{role}-{n}": replace(WORKER, name=f"{role}-{n}", role=role, rack=f"r{n % 3}", cluster=f"c{n % 2}")
    for role in ("worker", "control_plane")
    for n in range(12)
}
rollouts = st.builds(
    Rollout,
    max_unavailable=st.integers(1, 4),
    max_unavailable_rack=st.sampled_from([None, 1, 2]),
    stop_after=st.integers(1, 3),
    pause_after=st.sampled_from([None, 1, 5]),
)


@given(rollout=rollouts, data=st.data())
def test_no_bound_is_ever_passed(rollout: Rollout, data: st.DataObject) -> None:
    """In any order of coming, returning and failing: per cluster, per rack, one control plane, failures, pause."""
    asyncio.run(_drive(rollout, data))


async def _drive(rollout: Rollout, data: st.DataObject) -> None:
    turns, tasks, begun, failed = Disruptions(rollout), {}, 0, 0
    names = data.draw(st.permutations(list(FLEET)))
    for name in names:
        tasks[name] = asyncio.create_task(turns.begin(FLEET[name]))
        await asyncio.sleep(0)
        away = [FLEET[n] for n in turns.away()]
        for cluster in ("c0", "c1"):
            inside = [h for h in away if h.cluster == cluster]
            assert len(inside) <= rollout.max_unavailable
            assert len([h for h in inside if h.role == "control_plane"]) <= 1
        for rack in ("r0", "r1", "r2"):
            bound = rollout.max_unavailable_rack
            assert bound is None or len([h for h in away if h.rack == rack]) <= bound
        begun = sum(1 for t in tasks.values() if t.done() and t.exception() is None)
        assert rollout.pause_after is None or begun <= rollout.pause_after
        if away and data.draw(st.booleans()):
            host, bad = data.draw(st.sampled_from(away)), data.draw(st.booleans())
            if bad and failed < rollout.stop_after:
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
        turns = Disruptions(Rollout(stop_after=5))
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


def test_a_turn_that_nobody_takes_goes_on() -> None:
    """Cancelled while it waits, or in the moment it is served: the place is free for the next."""

    async def run() -> None:
        turns = Disruptions(Rollout())
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
    if quorum(member, etcd, removed=False) and etcd.get(member) and len(etcd) > 2:
        assert len(others) >= len(etcd) // 2 + 1
    if quorum(member, etcd, removed=True):
        assert sum(etcd.values()) >= len(etcd) // 2 + 1  # the removal itself is agreed on
        rest = len(etcd) - (member in etcd)
        assert len(others) >= rest // 2 + 1


def test_a_dead_member_of_three_may_be_replaced() -> None:
    """That is what a replacement is for; with two dead ones nothing is removed any more."""
    assert quorum("a", {"a": False, "b": True, "c": True}, removed=True)
    assert not quorum("a", {"a": False, "b": False, "c": True}, removed=True)
    assert not quorum("b", {"a": False, "b": True, "c": True}, removed=False)


def test_paused_is_no_failure_and_says_how_it_goes_on() -> None:
    """After as many members as were asked for the rest is not begun."""
    away = Away(begun=2)
    assert permitted(WORKER, away, Rollout(pause_after=2)) == "paused"
    assert permitted(WORKER, away, Rollout(pause_after=3)) == "now"
