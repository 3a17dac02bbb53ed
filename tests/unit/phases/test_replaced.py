"""Another machine in the place of one that is installed: the file names it, and everything is done for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.actions.reinstall import order_reinstall, withdraw_order
from bmk.datacenter.model import RolloutSpec
from bmk.errors import PreflightRefused
from bmk.journal.records import DrainRecord, InstallationRecord, MembershipRecord, RemovalRecord
from tests.simulation import FAST

INSTALL = ["register", "remove", "power-install", "boot", "wipe", "prove", "reach", "configure", "join", "verify"]


def failures(outcomes: Any) -> dict[str, str]:
    return {o.host: f"{o.phase}: {o.error}" for o in outcomes if o.error is not None}


@pytest.mark.parametrize("name", ["worker-1", "cp-1", "cp-2"])
def test_a_replaced_machine_is_planned_and_installed_as_a_whole(simulation: Any, name: str) -> None:
    """Its plan goes from its BMC to the proof; the old one leaves etcd and the API first; nobody else is touched."""
    simulation.provision()
    before = {n: (m.wipes, m.cycles, m.configured) for n, m in simulation.machines.items()}
    simulation.replace(name, "NEW-1")
    plan, _ = simulation.look()
    assert {h.host: [c.kind for c in h.changes] for h in plan.pending} == {name: [*INSTALL, "baseline", "prove"]}
    assert "not inspected yet" in next(c.disk.content for c in plan.pending[0].changes if c.disk)
    assert "another machine" in next(c.why for c in plan.pending[0].changes if c.kind == "wipe")
    assert failures(simulation.provision()) == {}
    assert simulation.look()[0].empty
    assert simulation.machines[name].wipes == 1
    for other, count in before.items():
        machine = simulation.machines[other]
        assert other == name or (machine.wipes, machine.cycles, machine.configured) == count
    record = InstallationRecord.load(simulation.service, name)
    assert record is not None
    assert (record.serial, record.disk_serial) == ("NEW-1", "DISK-NEW-1")
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"}


@pytest.mark.parametrize("name", ["worker-1", "cp-1"])
def test_killed_anywhere_the_replacement_is_finished(
    make_simulation: Callable[[], Any], killed: type[BaseException], name: str
) -> None:
    """Ten kills on the way, the same command after each: one wipe, one node, one member of etcd."""
    simulation = make_simulation()
    simulation.provision()
    simulation.replace(name, "NEW-1")
    for budget in (0, 2, 4, 7, 11, 14, 18, 22, 27, 33):
        try:
            simulation.provision(kill_after=budget)
        except killed:
            continue
    assert failures(simulation.provision()) == {}
    assert simulation.look()[0].empty
    assert [m.wipes for m in simulation.machines.values()] == [1] * 5
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 120), max_size=2))
def test_control_planes_are_reinstalled_one_by_one(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int]
) -> None:
    """Two of three, and a worker, killed or not: etcd never loses its quorum, which the simulation asserts."""
    simulation = make_simulation()
    simulation.provision()
    names = ["cp-1", "cp-2", "worker-1"]
    for budget in [*kills, None]:
        try:
            assert failures(simulation.reinstall(names, kill_after=budget)) == {}
        except killed:
            continue
    assert simulation.look()[0].empty
    assert {n: m.wipes for n, m in simulation.machines.items()} == {n: 1 + (n in names) for n in simulation.dc.hosts}


def killed_in_the_drain(simulation: Any, name: str) -> None:
    """A run that reinstalls it was killed while its pods left."""
    simulation.provision()
    order_reinstall(simulation.dc, simulation.service, [simulation.dc.hosts[name]])
    DrainRecord(at=1.0).save(simulation.service, name)
    simulation.machines[name].cordoned = True


@pytest.mark.parametrize(("other", "first"), [("cp-1", "cp-2"), ("worker-1", "worker-2")])
def test_who_was_away_comes_back_before_another_leaves(simulation: Any, other: str, first: str) -> None:
    """Whatever order they are named in; the simulation asserts it of control planes."""
    killed_in_the_drain(simulation, first)
    assert failures(simulation.reinstall([other, first])) == {}
    assert simulation.away_at_once <= 1
    drained = [e.host for e in simulation.service.since(kind="node.drained")]
    assert drained[0] == first


def test_who_was_away_leaves_only_a_cluster_that_can_spare_it(simulation: Any) -> None:
    """Its member of etcd was a member all the time: that another is down by now counts."""
    killed_in_the_drain(simulation, "cp-1")
    simulation.machines["cp-3"].power, simulation.machines["cp-3"].system = "off", ""
    bad = failures(simulation.reinstall(["cp-1"], limits=replace(FAST, health=0.3)))
    assert "etcd of cluster lab-ha cannot spare cp-1" in bad["cp-1"]
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"}


def test_an_order_that_is_taken_back_takes_nobodys_place(simulation: Any) -> None:
    """The host stays as it is, cordoned, and others may leave."""
    killed_in_the_drain(simulation, "worker-1")
    withdraw_order(simulation.service, [simulation.dc.hosts["worker-1"]])
    assert not simulation.look()[1].hosts["worker-1"].away


def test_a_rollout_stops_at_a_failure_and_goes_on_later(simulation: Any) -> None:
    """The second worker is not touched when the first one failed; mended, the same command does both."""
    simulation.provision()
    simulation.machines["worker-1"].faults.add("fail-join.yml")
    bad = failures(simulation.reinstall(["worker-1", "worker-2"]))
    assert "Start kubelet" in bad["worker-1"]
    assert "not begun: the rollout stopped" in bad["worker-2"]
    assert (simulation.machines["worker-2"].wipes, simulation.machines["worker-2"].node) == (1, True)
    simulation.machines["worker-1"].faults.clear()
    assert failures(simulation.reinstall(["worker-1", "worker-2"])) == {}
    assert [simulation.machines[n].wipes for n in ("worker-1", "worker-2")] == [2, 2]


def test_a_rollout_pauses_as_asked(simulation: Any) -> None:
    """After one host the run ends; the same command does the other."""
    simulation.provision()
    pause = {"pause_after": 1}
    first = failures(simulation.reinstall(["worker-1", "worker-2"], rollout=pause))
    assert len(first) == 1
    assert "the rollout is paused" in next(iter(first.values()))
    assert failures(simulation.reinstall(["worker-1", "worker-2"], rollout=pause)) == {}
    assert [simulation.machines[n].wipes for n in ("worker-1", "worker-2")] == [2, 2]


def test_the_file_says_how_far_a_run_goes(simulation: Any) -> None:
    """spec.rollout and that of the cluster hold in a run; an option of the command counts more than both."""
    simulation.provision()
    cluster = simulation.dc.spec.clusters["lab-ha"].model_copy(update={"rollout": RolloutSpec(pause_after=1)})
    update = {"clusters": {"lab-ha": cluster}, "rollout": RolloutSpec(pause_after=5, max_unavailable=2)}
    simulation.dc = replace(simulation.dc, spec=simulation.dc.spec.model_copy(update=update))
    names = ["worker-1", "worker-2"]
    assert len(failures(simulation.reinstall(names))) == 1
    assert failures(simulation.reinstall(names, rollout={"pause_after": 2})) == {}
    assert failures(simulation.reinstall(names, rollout={"pause_after": 2})) == {}
    assert sorted(simulation.machines[n].wipes for n in names) == [3, 3]


def test_a_cluster_that_cannot_spare_a_member_keeps_it(simulation: Any) -> None:
    """One of three is down already: another one is not taken away, and the reason names both."""
    simulation.provision()
    simulation.machines["cp-3"].power, simulation.machines["cp-3"].system = "off", ""
    bad = failures(simulation.reinstall(["cp-1"], limits=replace(FAST, health=0.3)))
    assert "etcd of cluster lab-ha cannot spare cp-1" in bad["cp-1"]
    assert "not healthy: cp-3" in bad["cp-1"]
    assert MembershipRecord.load(simulation.service, "cp-1") is not None
    assert simulation.machines["cp-1"].wipes == 1


def test_changed_settings_restart_control_planes_one_by_one(simulation: Any) -> None:
    """No two of them are configured in one run of the playbook; workers and new hosts share theirs."""
    simulation.provision()
    simulation.digest, before = "d2", len(simulation.batches)
    assert failures(simulation.provision()) == {}
    runs = [set(hosts) for playbook, hosts in simulation.batches[before:] if playbook == "configure.yml"]
    assert all(len({n for n in hosts if n.startswith("cp-")}) <= 1 for hosts in runs)
    assert {"worker-1", "worker-2"} <= set.union(*runs)


def test_who_cannot_be_spared_keeps_nobody_from_being_replaced(simulation: Any) -> None:
    """One control plane is dead and replaced in the file, settings of the others changed: the dead one comes back
    first or later."""
    simulation.provision()
    simulation.digest = "d2"
    simulation.machines["cp-3"].power, simulation.machines["cp-3"].system = "off", ""
    simulation.replace("cp-3", "NEW-3")
    simulation.provision(limits=replace(FAST, health=0.3))
    assert failures(simulation.provision()) == {}
    assert simulation.look()[0].empty
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"}


def test_a_bmc_of_another_machine_keeps_the_node(simulation: Any) -> None:
    """Whoever cabled the wrong machine loses no node: its identity is checked before anything is drained."""
    simulation.provision()
    simulation.machines["worker-1"].faults.add("wrong-serial")
    assert "another machine" in failures(simulation.reinstall(["worker-1"]))["worker-1"]
    assert (simulation.machines["worker-1"].node, simulation.machines["worker-1"].drained) == (True, False)


def test_who_is_a_member_of_another_cluster_is_not_taken_out_of_this_one(simulation: Any) -> None:
    """The record of its join names the cluster; the one in the file knows no such node."""
    simulation.provision()
    MembershipRecord(cluster="another").save(simulation.service, "worker-1")
    simulation.machines["worker-1"].node = False
    simulation.replace("worker-1", "NEW-1")
    (host,) = (h for h in simulation.look()[0].pending if h.host == "worker-1")
    assert "removed" not in host.phases


def test_who_left_its_cluster_is_installed_before_it_joins_again(simulation: Any, killed: type[BaseException]) -> None:
    """Killed after the removal, the order cannot be taken back, and an old serial in the file changes nothing."""
    simulation.provision()
    old = simulation.dc
    simulation.replace("worker-1", "NEW-1")
    for budget in range(40):
        with suppress(killed):
            simulation.provision(kill_after=budget)
        if not simulation.machines["worker-1"].node:
            break
    simulation.dc = old  # the file as it was before
    (plan,) = simulation.look()[0].pending
    assert "imaging" in plan.phases
    assert "taken out of its cluster" in plan.confirm


def test_an_order_is_not_taken_back_from_who_left_its_cluster(simulation: Any) -> None:
    """What is installed there could never join again."""
    simulation.provision()
    host = simulation.dc.hosts["worker-1"]
    order_reinstall(simulation.dc, simulation.service, [host])
    RemovalRecord(cluster="lab-ha").save(simulation.service, "worker-1")
    with pytest.raises(PreflightRefused, match="taken out of its cluster already"):
        withdraw_order(simulation.service, [host])
    assert failures(simulation.provision(confirmed=frozenset({"worker-1"}))) == {}
    assert RemovalRecord.load(simulation.service, "worker-1") is None
