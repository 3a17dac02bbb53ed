"""Hosts that are drained, off and left alone for as long as a person wants, and that come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.drift import history
from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference, DriftStatus
from bmk.errors import PreflightRefused
from bmk.journal.host_status import project
from bmk.journal.records import MaintenanceRecord, MembershipRecord
from bmk.plan.show import lines
from tests.simulation import FAST


def failures(outcomes: Any) -> dict[str, str]:
    return {o.host: f"{o.phase}: {o.error}" for o in outcomes if o.error is not None}


def untouched(simulation: Any, *but: str) -> dict[str, tuple[int, int, int]]:
    return {n: (m.wipes, m.cycles, m.configured) for n, m in simulation.machines.items() if n not in but}


@pytest.mark.parametrize("name", ["worker-1", "cp-1", "cp-3"])
def test_a_host_is_drained_off_and_back(simulation: Any, name: str) -> None:
    """It stays a member, nothing is installed, nobody else is touched, and a second command finds nothing to do."""
    simulation.provision()
    before = untouched(simulation, name)
    assert failures(simulation.maintain([name])) == {}
    machine = simulation.machines[name]
    assert (machine.power, machine.drained, machine.node, machine.wipes) == ("off", True, True, 1)
    assert simulation.maintain([name]) == []
    assert failures(simulation.maintain([name], "off")) == {}
    assert (machine.power, machine.drained, machine.wipes) == ("on", False, 1)
    assert MaintenanceRecord.load(simulation.service, name) is None
    assert simulation.maintain([name], "off") == []
    assert simulation.look()[0].empty
    assert untouched(simulation, name) == before


def test_provision_leaves_it_alone_and_says_so(simulation: Any) -> None:
    """Whatever is to be done for the others is done, and for it nothing: not even its drift and its power."""
    simulation.provision()
    simulation.maintain(["worker-1"])
    plan, _ = simulation.look()
    assert plan.empty
    said = "\n".join(lines(plan, simulation.dc.hosts))
    assert "worker-1: left alone, in maintenance since" in said
    assert "by me@here: new fans; next: bmk maintenance lab-ha worker-1 off" in said
    assert "4 hosts as the file says, 1 left alone" in said
    simulation.digest = "d2"
    assert failures(simulation.provision()) == {}
    assert simulation.machines["worker-1"].power == "off"
    assert {m.configured for n, m in simulation.machines.items() if n != "worker-1"} == {2}
    assert failures(simulation.maintain(["worker-1"], "off")) == {}
    assert [h.host for h in simulation.look()[0].pending] == ["worker-1"]


def test_one_control_plane_at_a_time(simulation: Any) -> None:
    """The second is refused with the reason and the command that ends the first; the two together, too."""
    simulation.provision()
    with pytest.raises(PreflightRefused, match="one control plane in maintenance at a time"):
        simulation.maintain(["cp-1", "cp-2"])
    assert failures(simulation.maintain(["cp-1"])) == {}
    with pytest.raises(PreflightRefused, match="one control plane in maintenance at a time") as error:
        simulation.maintain(["cp-2"])
    assert error.value.why == "cp-1 is in maintenance"
    assert error.value.hint == "bmk maintenance lab-ha cp-1 off"
    assert MaintenanceRecord.load_all(simulation.service).keys() == {"cp-1"}


def test_the_only_control_plane_stays(simulation: Any) -> None:
    """Nobody could uncordon it again."""
    simulation.provision()
    for name in ("cp-2", "cp-3"):
        MembershipRecord.drop(simulation.service, name)
    with pytest.raises(PreflightRefused, match="the only control plane"):
        simulation.maintain(["cp-1"])


def test_etcd_has_to_keep_its_majority(simulation: Any) -> None:
    """One of three is dead: another one is not drained, and the reason names the dead one."""
    simulation.provision()
    simulation.machines["cp-3"].power, simulation.machines["cp-3"].system = "off", ""
    bad = failures(simulation.maintain(["cp-1"], limits=replace(FAST, health=0.3)))
    assert "cannot spare cp-1" in bad["cp-1"]
    assert "not healthy: cp-3" in bad["cp-1"]
    assert (simulation.machines["cp-1"].power, simulation.machines["cp-1"].drained) == ("on", False)


def test_the_wrong_machine_is_neither_drained_nor_switched_off(simulation: Any) -> None:
    """The BMC is asked who it is before anything else."""
    simulation.provision()
    simulation.machines["worker-1"].faults.add("wrong-serial")
    assert "another machine" in failures(simulation.maintain(["worker-1"]))["worker-1"]
    assert (simulation.machines["worker-1"].power, simulation.machines["worker-1"].drained) == ("on", False)


def test_who_may_serve_is_drained_first(simulation: Any) -> None:
    """While no API server says how a node is, its machine stays on."""
    simulation.provision()
    for name in ("cp-1", "cp-2", "cp-3"):
        simulation.machines[name].pki.down["kube-apiserver"] = 10**6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bmk.phases.drained.Drained.deadline", lambda *_: 0.3)
        bad = failures(simulation.maintain(["worker-1"]))
    assert "no API server answers" in bad["worker-1"]
    assert simulation.machines["worker-1"].power == "on"


def test_no_power_is_cut_unless_it_was_allowed(simulation: Any) -> None:
    """A system that does not end keeps its power, and the next command says how to cut it."""
    simulation.provision()
    simulation.machines["worker-1"].faults.add("hangs-at-the-end")
    bad = failures(simulation.maintain(["worker-1"]))
    assert "did not shut down" in bad["worker-1"]
    assert "bmk maintenance lab-ha worker-1 on --cut" in bad["worker-1"]
    assert simulation.machines["worker-1"].power == "on"
    assert failures(simulation.maintain(["worker-1"], cut=True)) == {}
    assert simulation.machines["worker-1"].power == "off"


def test_one_bad_host_does_not_end_the_rest(simulation: Any) -> None:
    """A pod that stays keeps its host on; the other one is done, and `bmk status` says of both where they are."""
    simulation.provision()
    simulation.machines["worker-1"].faults.add("pod-stays")
    bad = failures(simulation.maintain(["worker-1", "worker-2"]))
    assert list(bad) == ["worker-1"]
    assert "shop/db-0: a disruption budget" in bad["worker-1"]
    assert [simulation.machines[n].power for n in ("worker-1", "worker-2")] == ["on", "off"]
    seen = project(simulation.service, "lab-ha", None)
    assert (seen.status("worker-1").state, seen.again(seen.status("worker-1"))) == (
        "failed",
        "bmk maintenance lab-ha worker-1 on",
    )
    assert seen.status("worker-2").state == "maintenance"
    assert "new fans" in seen.status("worker-2").text


def test_it_is_not_reinstalled_meanwhile(simulation: Any) -> None:
    """The reason and the command that ends the maintenance are named."""
    simulation.provision()
    simulation.maintain(["worker-1"])
    with pytest.raises(PreflightRefused, match="in maintenance since") as error:
        simulation.reinstall(["worker-1"])
    assert error.value.hint == "bmk maintenance lab-ha worker-1 off"


def test_the_cluster_is_repaired_without_its_first_control_plane(simulation: Any) -> None:
    """What drift found in the API comes with the first of those that are there."""
    simulation.provision()
    rogue = classify("lab-ha", "lab-ha", Difference("bindings", "rogue", "", None, "role cluster-admin"), Desired(), {})
    simulation.maintain(["cp-1"])
    history.remember(simulation.service, "run", time.time(), time.time(), [DriftStatus("lab-ha", (rogue,))])
    assert [h.host for h in simulation.look()[0].pending] == ["cp-2"]
    assert failures(simulation.provision()) == {}
    assert simulation.drift_repaired == ["rogue"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    names=st.sampled_from([["worker-1"], ["cp-1"], ["cp-2", "worker-1", "worker-2"]]),
)
def test_killed_anywhere_the_same_command_finishes(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int], names: list[str]
) -> None:
    """On the way out and on the way back: quorum kept, nothing installed, and all as before."""
    simulation = make_simulation()
    simulation.provision()
    for switch in ("on", "off"):
        for budget in [*kills, None]:
            try:
                assert failures(simulation.maintain(names, switch, kill_after=budget)) == {}
            except killed:
                continue
        assert {simulation.machines[n].power for n in names} == {"off" if switch == "on" else "on"}
    assert MaintenanceRecord.load_all(simulation.service) == {}
    assert simulation.look()[0].empty
    assert [m.wipes for m in simulation.machines.values()] == [1] * 5
    assert {m.drained for m in simulation.machines.values()} == {False}
