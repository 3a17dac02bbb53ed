"""Phases of a cluster and of the data center: when they run, who waits for them, and what a failure of theirs ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter, Host
from bmk.engine.action import Action
from bmk.engine.executor import Outcome
from bmk.engine.phase import Context, GroupContext, GroupPhase, Phase
from bmk.engine.run import Timing
from bmk.engine.session import Options, RunSetup, new_run_id, perform
from bmk.errors import BmkError, PhaseFailed
from bmk.journal import Journal
from bmk.plan import Change, Plan, build_plan
from bmk.plan.actual import Actual, ClusterActual, Observation
from bmk.plan.build import GroupView
from bmk.plan.model import Scope
from tests.simulation import FAST, Killed, Life, MortalJournal

# The data center has the name of one of its clusters: they must not be taken for each other.
FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: one}
spec:
  deployer: {address: 10.1.0.2}
  networks:
    nodes: {cidr: 10.1.0.0/16, gateway: 10.1.0.1, dhcp: {pool: 10.1.9.0/24}, dns: [10.1.0.2]}
    bmc: {cidr: 10.2.0.0/16}
  profiles: {box: {bmc: {kind: redfish, secret: bmc/one}, disk: {size: ">=400GB"}}}
  racks:
    r1:
      hosts:
"""
HOST = (
    '        - {{name: {0}, profile: box, serial: S{1}, nics: [{{mac: "52:54:00:00:00:0{1}"}}], '
    "address: 10.1.0.1{1}, bmc: {{address: 10.2.0.{1}}}}}\n"
)
CLUSTER = (
    "    {0}: {{kubernetes: {{version: 1.37.2}}, control_plane: {{hosts: [{1}1]}}, workers: {{hosts: [{1}2]}}, "
    "network: {{pods: 10.{2}.0.0/16, services: 10.{3}.0.0/16}}}}\n"
)
NAMES = ("a1", "a2", "b1", "b2", "s1")
PODS = "pods: {one: {a1: 10.3.1.0/24, a2: 10.3.2.0/24}, two: {b1: 10.5.1.0/24, b2: 10.5.2.0/24}}\n"


@dataclass
class World:
    """What phases of these tests do: a record in the journal for each host or group, and what a test has planned."""

    dc: DataCenter
    path: Path
    fails: set[tuple[str, str]] = field(default_factory=set)  # phase and host or group
    alone: set[str] = field(default_factory=set)  # hosts of which `whole` says that it failed for them
    views: list[GroupView] = field(default_factory=list)
    seen: list[tuple[str, ...]] = field(default_factory=list)  # hosts that `whole` had in view when it ran
    held: Callable[[Host], bool] = lambda _: True
    within: Callable[[GroupContext], Any] | None = None  # what a group phase waits for in the middle

    def __post_init__(self) -> None:
        self.journal = Journal.open(self.path)

    def done(self, phase: str) -> dict[str, Any]:
        return self.journal.records(phase)

    async def do(self, ctx: Context | GroupContext, phase: str, name: str) -> None:
        if (phase, name) in self.fails:
            raise PhaseFailed(f"{phase} failed", where=name)
        if isinstance(ctx, GroupContext) and self.within is not None:
            await self.within(ctx)
        ctx.run.journal.record(name, phase, self.done(phase).get(name, 0) + 1)

    def plan(self, phases: Sequence[Phase | GroupPhase], names: Sequence[str] = NAMES) -> tuple[Plan, Observation]:
        clusters = {"one": ClusterActual("current"), "two": ClusterActual("stale")}
        seen = Observation({name: Actual() for name in names}, clusters)
        return build_plan(self.dc, Action("try", tuple(phases)), names, seen), seen

    def run(
        self, phases: Sequence[Phase | GroupPhase], names: Sequence[str] = NAMES, kill_after: int | None = None
    ) -> dict[str, str]:
        """Who failed, and in which phase."""
        plan, seen = self.plan(phases, names)
        journal = MortalJournal.open(self.path)
        journal.life = Life(kill_after)
        setup = RunSetup(new_run_id(), self.dc, cast(Any, None), journal)
        work = perform(setup, Action("try", tuple(phases)), plan, seen, Options(limits=FAST, poll=0.005))
        try:
            outcomes: list[Outcome] = asyncio.run(work)
        except BaseExceptionGroup as group:
            raise Killed from group
        return {o.host: o.phase for o in outcomes if o.error is not None}

    def story(self, *kinds: str) -> list[tuple[str, str]]:
        """Phase, and host or group, of events in their order."""
        return [(e.phase or "", e.host or str(e.data["group"])) for e in self.journal.since() if e.kind in kinds]


class _Host(Phase):
    def __init__(self, world: World) -> None:
        self.world = world

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        return [] if host.name in self.world.done(self.name) else [self.change("do", "do it", "not done")]

    async def run(self, ctx: Context) -> None:
        await self.world.do(ctx, self.name, ctx.host.name)

    def deadline(self, host: Host, timing: Timing) -> float:
        return 30.0


class Before(_Host):
    name = "before"
    title = "Before"


class After(_Host):
    name = "after"
    title = "After"


class _Group(GroupPhase):
    def __init__(self, world: World) -> None:
        self.world = world

    def plan(self, view: GroupView) -> list[Change]:
        self.world.views.append(view)
        return [] if view.name in self.world.done(self.name) else [self.change("do", "do it", "not done")]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        self.world.seen.append(tuple(h.name for h in ctx.hosts))
        await self.world.do(ctx, self.name, ctx.name)
        return {name: PhaseFailed("not here", where=name) for name in self.world.alone}

    def deadline(self, timing: Timing) -> float:
        return 30.0

    def holds_up(self, host: Host) -> bool:
        return self.world.held(host)


class Clustered(_Group):
    name = "clustered"
    title = "Once for a cluster"


class Whole(_Group):
    name = "whole"
    title = "Once for the data center"
    scope: Scope = "datacenter"
    needs = ("clustered",)


class WholeAtFirst(Whole):
    starts = "first"


@pytest.fixture
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    def make() -> World:
        room = tmp_path_factory.mktemp("scopes")
        hosts = "".join(HOST.format(name, n) for n, name in enumerate(NAMES, 1))
        clusters = "  clusters:\n" + CLUSTER.format("one", "a", 3, 4) + CLUSTER.format("two", "b", 5, 6)
        (room / "dc.yml").write_text(FILE + hosts + clusters)
        (room / "addresses.yml").write_text(PODS)
        return World(load_datacenter(room, versions=frozenset({"1.37.2"})), room / "one")

    return make


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    return make_world()


def way(world: World) -> list[Phase | GroupPhase]:
    return [Before(world), Whole(world), After(world)]


def test_a_phase_of_the_data_center_is_planned_with_all_in_view(world: World) -> None:
    """Every host, of both clusters and of none, and the state of each cluster; of a cluster only its own."""
    world.plan([Clustered(world), Whole(world)])
    one, two, whole = world.views
    assert [m.host.name for m in whole.members] == list(NAMES)
    assert {name: c.policies for name, c in whole.clusters.items()} == {"one": "current", "two": "stale"}
    assert ([m.host.name for m in one.members], one.cluster.policies) == (["a1", "a2"], "current")
    assert ([m.host.name for m in two.members], dict(two.clusters)) == (["b1", "b2"], {"two": two.cluster})


def test_it_runs_once_when_all_came_and_all_wait_for_it(world: World) -> None:
    """Two clusters and a spare: after the last host came, before the first goes on; a second run has nothing to do."""
    assert world.run(way(world)) == {}
    assert world.done("whole") == {"one": 1}
    assert world.seen == [NAMES]
    story = world.story("phase.started", "phase.finished")
    start, end = story.index(("whole", "one")), len(story) - 1 - story[::-1].index(("whole", "one"))
    assert {phase for phase, _ in story[:start]} == {"before"}
    assert len(story[:start]) == 2 * len(NAMES)
    assert {phase for phase, _ in story[end + 1 :]} == {"after"}
    assert world.plan(way(world))[0].empty


def test_it_may_start_with_the_first_that_comes(world: World) -> None:
    """Whoever comes while it runs, or later, waits for it as well; it runs once."""
    arrived = asyncio.Event()

    class Late(Before):
        async def run(self, ctx: Context) -> None:
            if ctx.host.name == "s1":
                await arrived.wait()
            await super().run(ctx)

    async def within(_: GroupContext) -> None:
        arrived.set()

    world.within = within
    assert world.run([Late(world), WholeAtFirst(world), After(world)]) == {}
    assert world.done("whole") == {"one": 1}


def test_whom_it_does_not_hold_up_goes_on(world: World) -> None:
    """Workers and the spare are done while it runs for control planes; nor does its failure touch them."""
    world.held = lambda host: host.role == "control_plane"

    async def within(ctx: GroupContext) -> None:
        while len(world.done("after")) < 3:
            await asyncio.sleep(0.01)

    world.within = within
    assert world.run(way(world)) == {}
    story = world.story("phase.finished")
    assert {host for phase, host in story[: story.index(("whole", "one"))] if phase == "after"} == {"a2", "b2", "s1"}


def test_its_failure_is_that_of_those_who_wait(world: World) -> None:
    """Others are done; the same command goes on with what is left."""
    world.held = lambda host: host.cluster == "two"
    world.fails = {("whole", "one")}
    assert world.run(way(world)) == {"b1": "whole", "b2": "whole"}
    assert sorted(world.done("after")) == ["a1", "a2", "s1"]
    world.fails.clear()
    assert world.run(way(world)) == {}
    assert world.done("before") == dict.fromkeys(NAMES, 1)


def test_what_fails_for_one_host_fails_for_no_other(world: World) -> None:
    """A host that failed before is not waited for; one of which the phase says that it failed is alone in that."""
    world.fails, world.alone = {("before", "a1")}, {"b1"}
    assert world.run(way(world)) == {"a1": "before", "b1": "whole"}
    assert world.done("whole") == {"one": 1}
    assert sorted(world.done("after")) == ["a2", "b2", "s1"]


def test_it_never_runs_when_all_failed_before(world: World) -> None:
    """There is nothing to do it for."""
    world.fails = {("before", name) for name in NAMES}
    assert world.run(way(world)) == dict.fromkeys(NAMES, "before")
    assert world.seen == []


def test_a_cluster_that_fails_does_not_stop_the_data_center(world: World) -> None:
    """Its hosts are out; the other cluster and the spare go on."""
    world.fails = {("clustered", "one")}
    phases = [Before(world), Clustered(world), Whole(world), After(world)]
    assert world.run(phases) == {"a1": "clustered", "a2": "clustered"}
    assert world.done("whole") == {"one": 1}
    assert sorted(world.done("after")) == ["b1", "b2", "s1"]


def test_it_comes_after_the_clusters_that_it_needs(world: World) -> None:
    """Also after one of which no host has anything to do: nobody of it comes to tell that its phase is done."""
    for name, phase in ((n, p) for n in ("b1", "b2") for p in ("before", "after")):
        world.journal.record(name, phase, 1)

    async def within(ctx: GroupContext) -> None:
        if (ctx.phase, ctx.name) == ("clustered", "two"):
            wanted = {("whole", n) for n in ("a1", "a2", "s1")}
            while not wanted <= set(world.story("phase.waiting")):
                await asyncio.sleep(0.01)

    world.within = within
    assert world.run([Before(world), Clustered(world), Whole(world), After(world)]) == {}
    story = world.story("phase.started", "phase.finished")
    assert story.index(("whole", "one")) > max(i for i, e in enumerate(story) if e == ("clustered", "two"))


def test_what_it_needs_failed_for_all_so_it_does_not_run(world: World) -> None:
    """Where no host is on its way, the clusters' phases alone decide; each failure is told and journaled."""
    for name, phase in ((n, p) for n in NAMES for p in ("before", "after")):
        world.journal.record(name, phase, 1)
    world.fails = {("clustered", "one"), ("clustered", "two")}
    phases = [Before(world), Clustered(world), Whole(world), After(world)]
    assert world.run(phases) == {"one": "clustered", "two": "clustered"}
    assert world.seen == [("a1", "a2"), ("b1", "b2")]
    assert world.story("phase.failed") == [("clustered", "one"), ("clustered", "two")]
    world.fails.remove(("clustered", "two"))
    assert world.run(phases) == {"one": "clustered"}
    assert world.done("whole") == {"one": 1}


def test_what_needs_a_phase_that_did_not_run_does_not_run_either(world: World) -> None:
    """However long the chain is: only what failed itself is told."""

    class Last(Whole):
        name = "last"
        needs = (Whole.name,)

    for name in NAMES:
        world.journal.record(name, "before", 1)
    world.fails = {("clustered", "one"), ("clustered", "two")}
    phases = [Before(world), Clustered(world), Whole(world), Last(world)]
    assert world.run(phases) == {"one": "clustered", "two": "clustered"}
    assert (world.done("whole"), world.done("last")) == ({}, {})
    world.fails.clear()
    assert world.run(phases) == {}
    assert (world.done("whole"), world.done("last")) == ({"one": 1}, {"one": 1})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 70), min_size=1, max_size=3))
def test_killed_anywhere_the_same_command_finishes(make_world: Callable[[], World], kills: list[int]) -> None:
    """Nothing that is on record is done again, and nothing is left out."""
    world = make_world()
    phases = [Before(world), Clustered(world), Whole(world), After(world)]
    for budget in kills:
        with suppress(Killed):
            world.run(phases, kill_after=budget)
    assert world.run(phases) == {}
    assert world.plan(phases)[0].empty
    for phase, names in {"before": NAMES, "clustered": ("one", "two"), "whole": ("one",), "after": NAMES}.items():
        assert world.done(phase) == dict.fromkeys(names, 1)
