"""A cluster that ends as a whole, and is made anew on the same installed machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.errors import PreflightRefused
from bmk.journal.host_status import project
from bmk.journal.records import BackupRecord, MembershipRecord, ProofRecord, ResetOrder


def failures(outcomes: Any) -> dict[str, str]:
    return {o.host: f"{o.phase}: {o.error}" for o in outcomes if o.error is not None}


def serving(simulation: Any) -> list[str]:
    return [m.host.name for m in simulation.machines.values() if m.serves]


def test_a_cluster_ends_and_is_made_anew(simulation: Any) -> None:
    """Nothing serves, nothing is wiped, machines are on; a second reset finds nothing, and provision begins once."""
    simulation.provision()
    simulation.renew_kubeconfig("lab-ha")
    BackupRecord(at=1.0).save(simulation.service, "lab-ha")
    assert failures(simulation.reset()) == {}
    assert serving(simulation) == []
    assert simulation.kubeconfig is None
    assert {(m.power, m.wipes, m.cycles, m.cleaned) for m in simulation.machines.values()} == {("on", 1, 0, 1)}
    assert simulation.reset() == []
    assert MembershipRecord.load_all(simulation.service) == ProofRecord.load_all(simulation.service) == {}
    assert simulation.service.facts("lab-ha").keys() == {BackupRecord.KEY}
    at = project(simulation.service, "lab-ha", None).status("worker-1")
    assert (at.state, "was reset" in at.text) == ("new", True)
    plan, _ = simulation.look()
    assert "power-install" not in {c.kind for h in plan.pending for c in h.changes}
    assert failures(simulation.provision()) == {}
    assert sum(m.inits for m in simulation.machines.values()) == 2
    assert {(m.wipes, m.configured) for m in simulation.machines.values()} == {(1, 2)}
    assert simulation.look()[0].empty


def test_a_host_that_is_off_is_switched_on_for_it(simulation: Any) -> None:
    """It would serve the old cluster otherwise, whenever it comes back."""
    simulation.provision()
    simulation.machines["cp-2"].power, simulation.machines["cp-2"].system = "off", ""
    assert failures(simulation.reset()) == {}
    assert (simulation.machines["cp-2"].power, simulation.machines["cp-2"].cleaned) == ("on", 1)


def test_one_bad_host_keeps_the_others_from_a_new_cluster_only(simulation: Any) -> None:
    """They are done, and provision leaves all alone until that one is done or removed."""
    simulation.provision()
    simulation.machines["cp-2"].faults.add("fail-leave.yml")
    assert list(failures(simulation.reset())) == ["cp-2"]
    assert serving(simulation) == ["cp-2"]
    plan, _ = simulation.look()
    assert plan.empty
    assert all("next: bmk reset lab-ha lab-ha" in h.alone for h in plan.hosts)
    simulation.machines["cp-2"].faults.clear()
    assert failures(simulation.reset()) == {}
    assert ResetOrder.load_all(simulation.service) == {}
    assert failures(simulation.provision()) == {}
    assert simulation.look()[0].empty


def test_a_host_that_cannot_be_done_is_removed(simulation: Any) -> None:
    """Its machine is gone, and there is no API any more that could forget it: the reset goes on without it."""
    simulation.provision()
    machine = simulation.machines["cp-2"]
    machine.power, machine.system = "off", ""
    machine.faults.add("bmc-dead")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bmk.phases.started.Started.deadline", lambda *_: 0.2)
        assert list(failures(simulation.reset())) == ["cp-2"]
    machine.faults.clear()
    assert failures(simulation.remove(["cp-2"])) == {}
    assert simulation.reset() == []
    assert ResetOrder.load_all(simulation.service) == {}
    assert failures(simulation.provision()) == {}
    assert simulation.etcd == {"cp-1", "cp-3"}
    assert simulation.look()[0].empty


def test_a_host_that_is_new_in_the_file_does_not_join_what_ends(simulation: Any) -> None:
    """Nothing is on record of it, and its cluster is being reset."""
    simulation.provision([name for name in simulation.dc.hosts if name != "worker-2"])
    simulation.machines["cp-2"].faults.add("fail-leave.yml")
    simulation.reset()
    (worker,) = (h for h in simulation.look()[0].hosts if h.host == "worker-2")
    assert (worker.changes, "bmk reset lab-ha lab-ha" in worker.alone) == ((), True)


def test_who_is_in_maintenance_comes_back_first(simulation: Any) -> None:
    """The command that brings it back is named, and nothing is on record."""
    simulation.provision()
    simulation.maintain(["worker-1"])
    with pytest.raises(PreflightRefused, match="in maintenance") as error:
        simulation.reset()
    assert error.value.hint == "bmk maintenance lab-ha worker-1 off"
    assert ResetOrder.load_all(simulation.service) == {}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 60), min_size=1, max_size=4))
def test_killed_anywhere_the_same_command_finishes(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int]
) -> None:
    """In between provision begins no second cluster; afterwards it makes one."""
    simulation = make_simulation()
    simulation.provision()
    for budget in [*kills, None]:
        try:
            assert failures(simulation.reset(kill_after=budget)) == {}
        except killed:
            assert failures(simulation.provision()) == {}
    assert ResetOrder.load_all(simulation.service) == {}
    assert failures(simulation.provision()) == {}
    assert sum(m.inits for m in simulation.machines.values()) == 2
    assert [m.wipes for m in simulation.machines.values()] == [1] * 5
    assert simulation.look()[0].empty
