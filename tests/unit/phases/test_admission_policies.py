"""What a check found wrong, and policies that are gone, are changes of the next plan and of no further one."""

from __future__ import annotations

from typing import Any


def _changes(simulation: Any) -> dict[str, list[str]]:
    plan, _ = simulation.look()
    found = {h.host: [c.phase for c in h.changes] for h in plan.hosts if h.changes}
    return found | {s.name: [c.phase for c in s.changes] for s in plan.scoped}


def test_policies_that_are_gone_come_back(simulation: Any) -> None:
    """Somebody deletes a policy: the plan says so for the cluster, one run puts it in, then nothing is left."""
    simulation.provision()
    assert _changes(simulation) == {}
    simulation.policies_applied.clear()
    assert _changes(simulation) == {"lab-ha": ["admission_policies"]}
    simulation.provision()
    assert simulation.policies_applied == {"lab-ha"}
    assert _changes(simulation) == {}


def test_what_hardening_found_is_configured_again_once(simulation: Any) -> None:
    """A host with failing controls is converged although its digest is current; afterwards it is forgotten."""
    simulation.provision()
    before = simulation.machines["worker-1"].configured
    simulation.service.record("worker-1", "suspect", {"by": "hardening", "what": ["pki-keys"]})
    plan, _ = simulation.look()
    change, seal = (c for h in plan.hosts for c in h.changes)
    assert (change.phase, change.why) == ("configured", "found wrong since: pki-keys")
    assert seal.phase == "baseline"
    simulation.provision()
    assert simulation.machines["worker-1"].configured == before + 1
    assert _changes(simulation) == {}


def test_policies_that_cannot_be_put_in_end_no_worker(simulation: Any) -> None:
    """Control planes fail with the reason; workers become Ready, and the next run has the policies only to do."""
    simulation.faults.add("policies-refused")
    outcomes = simulation.provision()
    assert {o.host for o in outcomes if o.error} == {"cp-1", "cp-2", "cp-3"}
    assert all(simulation.machines[name].approved for name in ("worker-1", "worker-2"))
    simulation.faults.clear()
    assert "lab-ha" in _changes(simulation)
    assert [o.error for o in simulation.provision() if o.error] == []
    assert _changes(simulation) == {}


def test_a_failure_of_the_cluster_alone_is_told(simulation: Any) -> None:
    """No host has anything to do, and the policies cannot be put in: the run says so, by the name of the cluster."""
    simulation.provision()
    simulation.policies_applied.clear()
    simulation.faults.add("policies-refused")
    assert [(o.host, o.phase) for o in simulation.provision() if o.error] == [("lab-ha", "admission_policies")]
