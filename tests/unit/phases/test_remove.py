"""Hosts that leave their cluster for good, alive or dead, and that nothing takes back by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.actions.reinstall import order_reinstall, withdraw_order
from bmk.errors import PreflightRefused
from bmk.journal.host_status import project
from bmk.journal.records import MembershipRecord, RetiredRecord
from bmk.plan.show import lines
from tests.simulation import FAST


def failures(outcomes: Any) -> dict[str, str]:
    return {o.host: f"{o.phase}: {o.error}" for o in outcomes if o.error is not None}


def die(simulation: Any, name: str) -> None:
    simulation.machines[name].power, simulation.machines[name].system = "off", ""


@pytest.mark.parametrize("name", ["worker-1", "cp-1", "cp-3"])
def test_a_living_host_leaves_and_is_off(simulation: Any, name: str) -> None:
    """Drained, out of etcd and the API, Kubernetes taken off it, no disk touched; a second command finds nothing."""
    simulation.provision()
    before = {n: (m.wipes, m.cycles, m.configured) for n, m in simulation.machines.items() if n != name}
    assert failures(simulation.remove([name])) == {}
    machine = simulation.machines[name]
    assert (machine.power, machine.node, machine.member, machine.drained) == ("off", False, False, True)
    assert (machine.cleaned, machine.wipes) == (1, 1)
    assert name not in simulation.etcd
    assert simulation.remove([name]) == []
    assert {n: (m.wipes, m.cycles, m.configured) for n, m in simulation.machines.items() if n != name} == before


@pytest.mark.parametrize("name", ["worker-1", "cp-2"])
def test_a_dead_host_leaves(simulation: Any, name: str) -> None:
    """Nothing is drained or taken off it, and the plan says that what is on its disk stays there."""
    simulation.provision()
    die(simulation, name)
    assert failures(simulation.remove([name])) == {}
    assert (simulation.machines[name].node, simulation.machines[name].cleaned) == (False, 0)
    assert name not in simulation.etcd
    assert MembershipRecord.load(simulation.service, name) is None


def test_what_is_silent_and_on_is_off_before_its_node_goes(simulation: Any) -> None:
    """Its kubelet may come back, and would bring its node with it."""
    simulation.provision()
    machine = simulation.machines["worker-1"]
    machine.system = "hangs"
    assert failures(simulation.remove(["worker-1"])) == {}
    kinds = [e.kind for e in simulation.service.since(host="worker-1")]
    assert (machine.power, machine.cycles, machine.node) == ("off", 1, False)
    assert "node.removed" in kinds


def test_a_dead_host_with_a_dead_bmc_is_out_and_a_person_is_told_the_rest(simulation: Any) -> None:
    """Etcd and API forget it; that nobody could switch it off is a failure with the two ways on."""
    simulation.provision()
    die(simulation, "worker-1")
    simulation.machines["worker-1"].faults.add("bmc-dead")
    bad = failures(simulation.remove(["worker-1"]))
    assert "take worker-1 out of dc.yml" in bad["worker-1"]
    assert not simulation.machines["worker-1"].node
    assert simulation.look()[0].empty
    simulation.machines["worker-1"].faults.clear()
    assert failures(simulation.remove(["worker-1"])) == {}


def test_the_wrong_machine_is_left_alone(simulation: Any) -> None:
    """And so is the node of the right one."""
    simulation.provision()
    simulation.machines["worker-1"].faults.add("wrong-serial")
    assert "another machine" in failures(simulation.remove(["worker-1"]))["worker-1"]
    machine = simulation.machines["worker-1"]
    assert (machine.power, machine.node, machine.drained, machine.cleaned) == ("on", True, False, 0)


def test_provision_does_not_take_it_back(simulation: Any) -> None:
    """It says so and names both ways on; the smoke test and renewals do without it."""
    simulation.provision()
    simulation.remove(["worker-1"])
    plan, _ = simulation.look()
    assert plan.empty
    said = "\n".join(lines(plan, simulation.dc.hosts))
    assert "worker-1: left alone, removed from cluster lab-ha since" in said
    assert "take worker-1 out of dc.yml, or: bmk reinstall lab-ha worker-1" in said
    assert simulation.renewal_plan()[0].pending == ()
    at = project(simulation.service, "lab-ha", None).status("worker-1")
    assert (at.state, "too old" in at.text) == ("removed", True)


def test_a_reinstall_takes_it_back(simulation: Any) -> None:
    """From the wipe to the proof; an order that is taken back before leaves it removed."""
    simulation.provision()
    simulation.remove(["cp-2"])
    host = [simulation.dc.hosts["cp-2"]]
    order_reinstall(simulation.dc, simulation.service, host)
    assert [h.host for h in simulation.look()[0].pending] == ["cp-2"]
    assert withdraw_order(simulation.service, host) == ["cp-2"]
    assert simulation.look()[0].empty
    assert failures(simulation.reinstall(["cp-2"])) == {}
    assert RetiredRecord.load_all(simulation.service) == {}
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"}
    assert simulation.look()[0].empty


def test_a_cluster_keeps_its_head(simulation: Any) -> None:
    """Not all control planes at once or one after the other; the way to end a cluster is named."""
    simulation.provision()
    with pytest.raises(PreflightRefused, match="no control plane any more") as error:
        simulation.remove(["cp-1", "cp-2", "cp-3"])
    assert error.value.hint.startswith("bmk reset lab-ha lab-ha")
    assert failures(simulation.remove(["cp-1", "cp-2"])) == {}
    assert simulation.etcd == {"cp-3"}
    with pytest.raises(PreflightRefused, match="no control plane any more"):
        simulation.remove(["cp-3"])


def test_two_of_three_gone_is_refused_with_the_way_out(simulation: Any) -> None:
    """Etcd has no majority that could agree to a removal."""
    simulation.provision()
    for name in ("cp-1", "cp-2"):
        die(simulation, name)
    bad = failures(simulation.remove(["cp-1"], limits=replace(FAST, health=0.3)))
    assert "cannot spare cp-1" in bad["cp-1"]
    assert "docs/backup.md" in bad["cp-1"]
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"}


def test_out_of_maintenance_into_retirement(simulation: Any) -> None:
    """A host that is off for maintenance is removed without being brought back first."""
    simulation.provision()
    simulation.maintain(["worker-1"])
    assert failures(simulation.remove(["worker-1"])) == {}
    at = project(simulation.service, "lab-ha", None).status("worker-1")
    assert (simulation.machines["worker-1"].power, at.state) == ("off", "removed")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    names=st.sampled_from([["worker-1"], ["cp-1"], ["cp-2", "worker-1", "worker-2"], ["cp-1", "cp-3"]]),
    dead=st.booleans(),
)
def test_killed_anywhere_the_same_command_finishes(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int], names: list[str], dead: bool
) -> None:
    """Quorum kept, who left is no member, runs nothing and is off, and nothing is planned for it."""
    simulation = make_simulation()
    simulation.provision()
    if dead:
        die(simulation, names[-1])
    for budget in [*kills, None]:
        try:
            assert failures(simulation.remove(names, kill_after=budget)) == {}
        except killed:
            continue
    for name in names:
        machine = simulation.machines[name]
        assert (machine.power, machine.node, machine.wipes) == ("off", False, 1)
        assert machine.member == (dead and name == names[-1])
    assert simulation.etcd == {"cp-1", "cp-2", "cp-3"} - set(names)
    assert simulation.look()[0].empty
    assert simulation.remove(names) == []
